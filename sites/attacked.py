"""What an auditor has of a run: its records, its final models, its recorded wire."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coordinator.algorithms.building import arithmetic_of, builders_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.training import logits_of
from coordinator.attacks.defence import Known
from coordinator.draws import key
from coordinator.errors import DataError
from coordinator.models.stages import Part, build, cut
from coordinator.protocol.keys import COORDINATOR
from coordinator.schedule import Batch, Item, JointBatch, schedule
from coordinator.specs import POOLED, Run
from coordinator.wire import SCORING, Heard
from sites.joined import Joined
from sites.leakage import Measure
from sites.records import Records

LEAST: Final = 16  # auxiliary records to learn an attack from
Floats = NDArray[np.float32]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Hospital:
    """One site's records by role."""

    site: str
    roles: dict[str, Records]

    def inputs(self, role: str) -> Joined:
        """Give what the model reads of a role's records."""
        return Joined([self.roles[role].inputs])


@dataclass(frozen=True)
class Attacked:
    """One run under attack; `wire` is empty where nothing was recorded."""

    run: Run
    statistics: dict[str, Any]
    hospitals: list[Hospital]
    wire: list[Heard]
    models: Path
    gallery: bool = False
    pictures: Rows = field(default_factory=list)  # what attacks made of images, where they may be shown

    @cached_property
    def cohort(self) -> Cohort:
        """Count the run's records."""
        return Cohort.of(self.statistics, self.run.sites)

    def model(self, site: str) -> Part:
        """Put a site's whole final model together, in evaluation mode, from the parts of who holds them.

        Raises:
            DataError: a part is missing or does not fit.
        """
        model = self._built()
        state: dict[str, Tensor] = {}
        for party in (COORDINATOR, POOLED if self.run.parties == (POOLED,) else site):
            if (path := self.models / f"{party}.safetensors").exists():
                state |= _read(path)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise DataError(f"{self.models}: its parts make no whole model ({error}); run it again") from None
        return model.eval()

    def front(self, site: str) -> Part:
        """Give a site's final front."""
        return self.part(site, 0)

    def part(self, site: str, which: int) -> Part:
        """Give a site's final front (0), or the head (2)."""
        whole, part = self.model(site).state_dict(), self._built(self.names(which))
        part.load_state_dict({name: whole[name] for name in part.state_dict()})
        return part.eval()

    def middle(self) -> Part:
        """Give the coordinator's final layers."""
        part = self._built(self.names(1))
        part.load_state_dict(_read(self.models / f"{COORDINATOR}.safetensors"))
        return part.eval()

    def first(self, which: int | None = None) -> Part:
        """Give the whole model, or a part, as training began: the study's seed keys it, so all know it."""
        return self._built(None if which is None else self.names(which))

    def names(self, which: int) -> tuple[str, ...]:
        """Name the stages of the front (0), of the coordinator's layers (1), or of the head (2)."""
        return cut(tuple(builders_of(self.run, self.cohort.shape)), self.run.cut)[which]

    def has_model(self, site: str) -> bool:
        """Say whether a site has a whole final model: not where its private layers have never trained."""
        private = self.run.algorithm == "split" and self.run.site_parts == "private"
        return not private or (self.models / f"{site}.safetensors").exists()

    def _built(self, names: tuple[str, ...] | None = None) -> Part:
        builders = builders_of(self.run, self.cohort.shape)
        return build(builders, self.run.seed, names, arithmetic_of(self.run))

    def scored(self, index: int) -> Floats | None:
        """Give the recorded activations of a site's test records, in their order."""
        found = sorted(
            (-heard.position[3], heard.arrays["tensor"])
            for heard in self.wire
            if heard.kind == "Activations" and heard.position[0] == SCORING and heard.position[2] == index
        )
        return np.concatenate([array for _, array in found]) if found else None

    def steps(self, kind: str) -> Iterator[tuple[Batch, Floats]]:
        """Give the recorded messages of a kind in training, with the step each belongs to."""
        recorded = {heard.position: heard.arrays["tensor"] for heard in self.wire if heard.kind == kind}
        for item in schedule(self.run, self.cohort.train):
            for batch in _batches(item):
                if batch.position in recorded:
                    yield batch, recorded[batch.position]

    def known(self, attack: str) -> Known:
        """Give the run's defence at the cut as an attack knows it, under draws of the attack's own."""
        return Known(self.run.privacy, self.scale(), key(self.run.seed, "defence", attack) >> 1)

    def scale(self) -> float:
        """Give the noise's scale, in clips: as set, or the mean of those that sites found and told."""
        noise = self.run.privacy.noise or self.run.privacy.dp_sgd
        if noise is None or noise.scale is not None:
            return noise.scale or 0.0 if noise else 0.0
        told = [_account(path)["scale"] for path in sorted((self.models.parent / "privacy").glob("*.json"))]
        return float(np.mean(told)) if told else 0.0

    def largest(self) -> int:
        """Number the site with most training records."""
        return largest(self.hospitals)

    def labels_of(self, batch: Batch) -> NDArray[np.int64]:
        """Give the true labels of a step's records."""
        return self.hospitals[batch.site].roles["train"].labels[batch.records].astype(np.int64)


def _batches(item: Item) -> tuple[Batch, ...]:
    if isinstance(item, JointBatch):
        return item.batches
    return (item,) if isinstance(item, Batch) else ()


def largest(hospitals: list[Hospital]) -> int:
    """Number the site with most training records, the first of equal ones."""
    return int(np.argmax([len(hospital.roles["train"].labels) for hospital in hospitals]))


def rows_of(attack: str, target: str, threat_model: str, measures: list[Measure]) -> Rows:
    """Lay measures out as rows of privacy.csv, but for the run they are of."""
    return [
        {"attack": attack, "target": target, "measure": each.measure, "value": each.value,
         "baseline": each.baseline, "ci_low": each.low, "ci_high": each.high, "n": each.n,
         "threat_model": threat_model}
        for each in measures
    ]  # fmt: skip


def logits(model: Part, inputs: Joined) -> NDArray[np.float64]:
    """Score records with a whole model: (n,) logits."""
    return logits_of(model, inputs, len(inputs))[:, 0].double().numpy()


def activations(front: Part, inputs: Joined) -> Floats:
    """Apply a front to records, as in scoring: (n, ...)."""
    found: Floats = logits_of(front, inputs, len(inputs)).numpy()
    return found


def _account(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a site's account ({error}); run it again") from None
    return found


def _read(path: Path) -> dict[str, Tensor]:
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not a part of a model ({error}); run it again") from None
    return {name.partition("/")[2]: value for name, value in found.items()}
