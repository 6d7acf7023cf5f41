"""What each job is told: resolved, content-addressed JSON files that the plan writes.

A job reads one spec and no config file, so what a job depends on is exactly what its spec says.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from coordinator.config import (
    Data,
    Device,
    Gate,
    ImportPath,
    Modality,
    Model,
    Name,
    Norms,
    OnLoss,
    Privacy,
    Record,
    Site,
    Split,
    StageName,
    Study,
    Training,
)
from coordinator.errors import ConfigError

PREPARED_FORMAT = 2
POOLED = "pooled"
Away = tuple[tuple[int, int, tuple[int, ...]], ...]  # from an item of a trial on, the sites that are away
Spec = TypeVar("Spec", bound=Record)


class Deal(Record):
    """Deal an embedded or generated source's records to sites, as each site's own raw files."""

    data: Data
    sites: tuple[Site, ...]
    seed: int
    path: str | None = Field(
        None, description="the file or folder with all sites' records, where there is one"
    )


class Preparation(Record):
    """Turn one site's raw files into prepared records."""

    site: Site
    data: Data
    modalities: tuple[Modality, ...]
    split: Split
    split_seed: int
    held_out: bool = Field(False, description="every patient of this site tests")
    min_patients: int
    min_cell: int
    format: int = PREPARED_FORMAT


class Agreement(Record):
    """Agree on normalisation and vocabularies for one task and seed."""

    kind: Literal["agreement"] = "agreement"
    study: Name
    task: Name
    seed: int
    sites: tuple[Name, ...]
    prepared: dict[Name, str]
    validation: float
    missing: Literal["impute", "quarantine"]
    frozen: str | None = Field(None, description="the statistics.json whose normalisation is kept")
    min_cell: int
    threads: int
    gate: Gate = "inside"


class Estimation(Record):
    """Estimate, at each site, how well the runs of one task predict its own test records."""

    kind: Literal["estimation"] = "estimation"
    study: Name
    task: Name
    sites: tuple[Name, ...]
    runs: dict[str, str] = Field(description="strategy/seed, in the study's order, to what identifies a run")
    scores: dict[Name, dict[str, str]] = Field(description="by site: strategy/seed to the file it keeps")
    away: tuple[str, ...] = Field((), description="strategies under which a site may have been left out")
    min_cell: int
    bootstrap: int
    specificity: float
    split_seed: int
    threads: int
    gate: Gate = "inside"


class Run(Record):
    """Train one strategy on one task with one seed."""

    kind: Literal["run"] = "run"
    study: Name
    task: Name
    strategy: Name
    seed: int
    sites: tuple[Name, ...] = Field(description="the hospitals, in the study's order")
    parties: tuple[Name, ...] = Field(description="who runs a client: the hospitals, or `pooled`")
    prepared: dict[Name, str]
    preset: Name
    algorithm: Name
    labels: Literal["shared", "private"] = "shared"
    site_parts: Literal["handed_on", "averaged", "synchronous", "private"] = "handed_on"
    back: Literal["single", "averaged", "joint"] = "single"
    turn: Literal["client", "batch"] = "client"
    order: Literal["fixed", "reversed", "drawn"] = "fixed"
    interleave: Literal["cyclic", "proportional"] = "cyclic"
    optimizer_state: Literal["restarted", "kept"] = "kept"
    aggregate: Literal["mean", "median", "trimmed_mean"] = "mean"
    trimmed_share: float = Field(0.2, description="of the sites, at either end")
    norms: Norms = Field(default_factory=Norms)
    rule: Name = Field("fedavg", description="what the server does with the sites' models")
    proximal_mu: float = 0.0
    server_rate: float = 1.0
    server_beta1: float = 0.0
    server_beta2: float = 0.0
    server_tau: float = 0.0
    batches: Literal["shuffled", "by_site", "joint"] = "shuffled"
    participation: float = 1.0
    join: dict[Name, int] = Field(default_factory=dict, description="site to its first round")
    leave: dict[Name, int] = Field(default_factory=dict, description="site to the round it is gone in")
    recorded: tuple[tuple[int, ...], ...] = Field(
        (), description="by round, the sites that an earlier run recorded"
    )
    away: Away = Field((), description="which sites an earlier run recorded as away, from which item on")
    site_weights: Literal["records", "equal"]
    adapt: int = Field(0, description="epochs in which each site adapts the final model")
    secure_aggregation: bool = False
    privacy: Privacy = Field(default_factory=Privacy)
    cut: tuple[StageName, ...]
    model: Model
    classes: tuple[str, ...] = Field(
        (), description="of the outcome, by number, where there are more than two"
    )
    allow_models: dict[Name, tuple[ImportPath, ...]] = Field(
        default_factory=dict, description="of each site, where the model is a network of the study's own"
    )
    training: Training
    validation: float
    min_cell: int = Field(
        5, description="of a site with fewer validation records of an outcome no AUROC leaves"
    )
    missing: Literal["impute", "quarantine"]
    augment: tuple[str, ...] = ()
    release: Literal["nothing", "predictions"]
    subgroups: bool = Field(False, description="sex and age band leave with each test score")
    record_round: int | None = Field(None, description="the round kept for attacks, from 0; empty: none")
    threads: int
    devices: dict[Name, Device] = Field(default_factory=dict, description="of parties that have no `cpu`")
    on_loss: OnLoss = Field(default_factory=OnLoss)
    commit_steps: int = Field(1000, description="commits within a round, beside the one at its end")
    gate: Gate = Field("inside", description="in which process a site's release gate is")

    @property
    def outputs(self) -> int:
        """Give how many logits a record has: one, or one for each of more than two classes."""
        return len(self.classes) or 1


class Audit(Record):
    """Attack all runs of one task and seed, and score what was learned against the sites' records."""

    kind: Literal["audit"] = "audit"
    study: Name
    task: Name
    seed: int
    runs: dict[Name, Run] = Field(description="by strategy")
    effort: Literal["small", "full"] = "small"
    gallery: bool = Field(False, description="pictures may be shown")
    threads: int


class Prediction(Record):
    """Score one site's new records with a finished run's model; coordinator and site hold its parts."""

    kind: Literal["prediction"] = "prediction"
    run: Run
    site: Name
    statistics: str = Field(description="hash of the normalisation the model goes with")
    parts: dict[str, str] = Field(description="the site's parts by name, and their sha256")


class Evaluation(Record):
    """Compare all runs of a study."""

    study: Study
    sites: dict[Name, Site]
    runs: dict[str, Run] = Field(description="by task/strategy/seed")
    identical: dict[str, str] = Field(description="task/strategy to the strategy it equals")


def digest(spec: Record) -> str:
    """Hash a record's content (sha256 of its canonical JSON, hex)."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def run_digest(spec: Record) -> str:
    """Hash what parties of a conversation must have alike; what is done when one is lost may change.

    All but whether the run may go on without a site, and with how few: that is part of what is approved.
    """
    if not isinstance(spec, Run):
        return digest(spec)
    alone = OnLoss()
    if spec.on_loss.policy == "continue":
        alone = OnLoss(policy="continue", at_least=spec.on_loss.at_least)
    return digest(spec.model_copy(update={"on_loss": alone}))


def prepared_folder(spec: Preparation, dealt: Deal | None = None) -> str:
    """Name the folder in which a run looks for a site's prepared records, from where its parties are started.

    Args: `dealt` is what divided the records that are prepared, where one file held all sites'.
    """
    own = digest(spec)
    where = own[:12] if dealt is None else f"{own[:6]}{digest(dealt)[:6]}"
    return f"prepared/{spec.data.source}-{spec.site.name}-{where}"


def path_of(spec: Record, folder: Path) -> Path:
    """Name a spec's file, which carries its hash."""
    return folder / f"{type(spec).__name__.lower()}-{digest(spec)[:12]}.json"


def write(spec: Record, folder: Path) -> Path:
    """Write a spec; an existing file of its name is the same and stays."""
    path = path_of(spec, folder)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.rename(path)
    return path


def read(kind: type[Spec], path: Path) -> Spec:
    """Read a spec that the plan wrote.

    Raises:
        ConfigError: the file is missing or is not such a spec.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); run snakemake to write it") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: not a {kind.__name__} spec of this version: {error}") from None


def read_any(path: Path) -> Run | Agreement | Estimation:
    """Read a spec of whatever a site can join.

    Raises:
        ConfigError: the file is missing or is no such spec of this version.
    """
    match kind_of(path):
        case "run":
            return read(Run, path)
        case "estimation":
            return read(Estimation, path)
        case _:
            return read(Agreement, path)


def kind_of(path: Path) -> str:
    """Say what a spec file is for: a `run`, an `agreement` or an `estimation`.

    Raises:
        ConfigError: the file is missing or no spec.
    """
    try:
        return str(json.loads(path.read_bytes())["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path}: not a run's, agreement's or estimation's spec; run snakemake to write it"
        ) from None
