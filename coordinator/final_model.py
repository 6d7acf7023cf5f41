"""What a finished run leaves as its model: who holds which stages, and whether they make a whole one.

Each party stores its own parts; ``model.json`` says who holds what and with which statistics it goes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.cohort import shape_of
from coordinator.config import Record
from coordinator.driver import algorithm
from coordinator.errors import ConfigError, ProtocolError
from coordinator.outcome import write_bytes
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import Run, digest
from coordinator.statistics import normalisation_digest

FILE = "model.json"
FORMAT = 1
Hashes = Mapping[tuple[str, str], str]  # (party, part) to sha256


class Held(Record):
    """One part of the model at one party."""

    stages: tuple[str, ...]
    sha256: str


class Whole(Record):
    """Whether the parts make a whole model, and whose they must be."""

    possible: bool
    needs: tuple[Literal["coordinator", "pooled", "site"], ...]
    why: str


class FinalModel(Record):
    """A finished run's model."""

    format: int = FORMAT
    run: Run
    spec: str = Field(description="hash of the run's spec")
    statistics: str = Field(description="hash of the normalisation and vocabularies it goes with")
    input_shapes: dict[str, tuple[int, ...]]
    holders: dict[str, dict[str, Held]] = Field(description="party to part to what it holds")
    files: dict[str, str] = Field(description="party to the file it wrote, beside this one")
    without: tuple[str, ...] = Field(description="hospitals that hold nothing of this model")
    whole: Whole


def describe(run: Run, statistics: Mapping[str, Any], hashes: Hashes) -> FinalModel:
    """Say who holds what after a run, from the parties' own hashes of their parts.

    Raises:
        ProtocolError: a party says that it holds what it cannot.
    """
    shapes = {name: tuple(shape) for name, shape in statistics["input_shapes"].items()}
    shape = shape_of(shapes)
    at_site, here = algorithm(run.algorithm).parts_of(run, shape)
    everything = tuple(builders_of(run, shape))
    holders: dict[str, dict[str, Held]] = {}
    for (party, part), value in hashes.items():
        held = here if party == COORDINATOR else at_site
        if part not in held:
            raise ProtocolError(f"'{party}' says it holds '{part:.40}', not {', '.join(held)}", party)
        holders.setdefault(party, {})[part] = Held(stages=held[part] or everything, sha256=value)
    return FinalModel(
        run=run, spec=digest(run), statistics=normalisation_digest(statistics),
        input_shapes=shapes,
        holders=holders, files={party: part_file(party) for party in holders},
        without=tuple(party for party in run.parties if party not in holders), whole=whole_of(run, holders),
    )  # fmt: skip


def whole_of(run: Run, holders: Mapping[str, Mapping[str, Held]]) -> Whole:
    """Say whether a whole model can be exported, whose parts that takes, and why."""
    if run.preset == "centralized":
        return Whole(possible=True, needs=("pooled",), why="the pool trained the whole model")
    if run.algorithm == "local":
        return Whole(possible=True, needs=("site",), why="each site trained a whole model of its own")
    if run.algorithm == "cyclic":
        why = "every site holds the whole model; the coordinator relayed it sealed and has none"
        if run.adapt:
            why = "every site holds the whole model, adapted to its own records; the coordinator has none"
        return Whole(possible=True, needs=("site",), why=why)
    if run.algorithm == "federated":
        return _federated(run, holders)
    if run.site_parts == "private":
        why = (
            "the sites' parts are private and never leave them, so that no one holds a whole model; "
            "predict in split mode, through the coordinator"
        )
        return Whole(possible=False, needs=(), why=why)
    if run.adapt:
        why = (
            "the coordinator's part never goes to a site, and each site adapted its own to its records; the "
            "coordinator joins them where a site gives its part, to a model of that site"
        )
        return Whole(possible=True, needs=("coordinator", "site"), why=why)
    why = (
        "the coordinator's part never goes to a site; the coordinator joins it with a site's part "
        "where that site gives it"
    )
    return Whole(possible=True, needs=("coordinator", "site"), why=why)


def _federated(run: Run, holders: Mapping[str, Mapping[str, Held]]) -> Whole:
    if run.adapt:
        why = "each site adapted the average to its own records, so that each has a whole model of its own"
        return Whole(possible=True, needs=("site",), why=why)
    models = {parts["model"].sha256 for parts in holders.values()}
    if run.rule == "fedbn" and len(models) > 1:
        why = "each site keeps its own normalisation layers, so that each has a whole model of its own"
        return Whole(possible=True, needs=("site",), why=why)
    return Whole(possible=True, needs=("coordinator",), why="coordinator and sites hold the average")


def part_file(party: str) -> str:
    """Name the file with a party's parts, relative to what the run handed over."""
    return f"model/{party}.safetensors"


def results_of(folder: Path) -> Path:
    """Name the study's results folder that a run's folder lies in."""
    return folder.resolve().parents[3] if len(folder.resolve().parents) > 3 else folder


def write(model: FinalModel, folder: Path) -> None:
    """Write ``model.json``."""
    write_bytes(folder / FILE, (model.model_dump_json(indent=1) + "\n").encode())


def read(folder: Path) -> FinalModel:
    """Read a finished run's ``model.json``.

    Raises:
        ConfigError: it is missing, or of another version.
    """
    path = folder / FILE
    try:
        return FinalModel.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name the folder of a finished run, "
            "as results/STUDY/runs/TASK/STRATEGY/SEED"
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"{path}: not a model of this version ({where}: {problem['msg']}); train again"
        ) from None
