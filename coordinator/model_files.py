"""A party's parts as safetensors, and the hash by which runs are compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from coordinator.algorithms.tensors import apart
from coordinator.config import Record
from coordinator.errors import ConfigError
from coordinator.final_model import FILE as MODEL_FILE
from coordinator.final_model import FinalModel
from coordinator.outcome import write_bytes
from coordinator.specs import Run, digest
from coordinator.statistics import normalisation_digest
from coordinator.tensor_files import pieces

ABOUT = "suture"
Tensors = dict[str, dict[str, Tensor]]  # part to name to tensor


class About(Record):
    """What a party's file says of itself: whose parts of which run, and what they go with."""

    party: str
    run: Run
    statistics: str
    input_shapes: dict[str, tuple[int, ...]]


def about(run: Run, party: str, statistics: Mapping[str, Any]) -> About:
    """Describe a party's parts of a run that was trained under these statistics."""
    shapes = {name: tuple(shape) for name, shape in statistics["input_shapes"].items()}
    return About(party=party, run=run, statistics=normalisation_digest(statistics), input_shapes=shapes)


def write_parts(
    parts: Mapping[str, nn.Module], party: str, folder: Path, what: About | None = None
) -> dict[str, str]:
    """Write ``PARTY.safetensors`` and give the sha256 of each part's tensors."""
    tensors = {
        f"{name}/{key}": value for name, part in parts.items() for key, value in part.state_dict().items()
    }
    # one key only: safetensors keeps no order among several, and the file would differ from run to run
    metadata = {ABOUT: what.model_dump_json()} if what else None
    if tensors:
        write_bytes(folder / f"{party}.safetensors", pieces(_on_cpu(tensors), metadata))
    return {name: part_hash(dict(part.state_dict())) for name, part in parts.items()}


def part_hash(tensors: dict[str, Tensor]) -> str:
    """Hash a part's tensors (sha256 of their safetensors, hex)."""
    digest = hashlib.sha256()
    for piece in pieces(_on_cpu(tensors)):
        digest.update(piece)
    return digest.hexdigest()


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return apart({name: value.cpu().contiguous() for name, value in tensors.items()})


def read_parts(path: Path) -> tuple[About, Tensors]:
    """Read a party's parts, and what they are.

    Raises:
        ConfigError: the file is missing, damaged, or not a party's parts.
    """
    wanted = "expected the parts of a finished run, as RUN/model/PARTY.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            what = About.model_validate_json((file.metadata() or {}).get(ABOUT, ""))
            found: Tensors = {}
            for name in file.keys():  # noqa: SIM118 - no mapping
                part, _, key = name.partition("/")
                found.setdefault(part, {})[key] = file.get_tensor(name)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); {wanted}") from None
    except SafetensorError as error:
        raise ConfigError(f"{path}: not a whole safetensors file ({error}); {wanted}") from None
    except ValidationError:
        raise ConfigError(f"{path}: does not say which run it is of; {wanted}, of this version") from None
    return what, found


def checked_parts(path: Path, model: FinalModel) -> tuple[About, Tensors]:
    """Read a party's parts of a finished run, and check that they are those it ended with.

    Raises:
        ConfigError: the file is not of this run, or its tensors have changed.
    """
    what, tensors = read_parts(path)
    held = model.holders.get(what.party)
    if held is None or digest(what.run) != model.spec:
        raise ConfigError(
            f"{path}: parts of '{what.party}' in {name_of(what.run)}, expected those of a party of "
            f"{name_of(model.run)}; name a file of that run"
        )
    for name, each in held.items():
        if part_hash(tensors.get(name, {})) != each.sha256:
            raise ConfigError(
                f"{path}: '{name}' is not as '{what.party}' ended the run with, whose hash {MODEL_FILE} "
                "has; take the party's own file, or train again"
            )
    return what, tensors


def name_of(run: Run) -> str:
    """Name a run as its results folder does."""
    return f"{run.study}/{run.task}/{run.strategy}/{run.seed}"


def weights_file(hashes: Mapping[tuple[str, str], str]) -> str:
    """Give ``weights.sha256``: the hash of the sorted ``part, party, sha256`` lines, then the lines.

    Args:
        hashes: (party, part) to sha256.
    """
    lines = sorted(f"{part}, {party}, {value}" for (party, part), value in hashes.items())
    total = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return "\n".join([total, *lines]) + "\n"
