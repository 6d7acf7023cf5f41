"""Invented stays at a hospital: who comes, how ill, what is measured over time, what a radiograph may show.

The outcome is pneumonia. It raises two hidden things, inflammation and shortness of breath, that fever,
breathing and blood follow; other illnesses raise them too. Most with pneumonia, and few without, have an
opacity on the radiograph. So records and image each tell part of it, and together more.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from coordinator.draws import key
from sites.datasets.chest_phantom import Person, person
from sites.datasets.network_codes import CONDITIONS, Practice

HOURS: Final = 30  # of a stay that are recorded; prediction is made before they are over
OPACITY: Final = (0.08, 0.88)  # share of radiographs with one, without and with pneumonia
EFFECT: Final = 1.0  # of pneumonia on inflammation and on breath, in standard deviations
# how frequent a condition is without and with pneumonia
FREQUENT: Final = {
    "heart_failure": (0.15, 0.20),
    "copd": (0.12, 0.24),
    "diabetes": (0.20, 0.24),
    "renal_failure": (0.10, 0.12),
}
DRAWN_AT: Final = ((0.5, 6.0), (12.0, 22.0), (26.0, 29.5))  # hours of blood samples; the last comes too late
Grid = npt.NDArray[np.float64]


class Stay(NamedTuple):
    """One stay; `vitals` is (HOURS, VITALS), NaN where nothing was written, `labs` (samples, 1 + LABS)."""

    person: Person
    number: int
    outcome: int
    conditions: tuple[str, ...]
    vitals: Grid
    labs: Grid
    has_image: bool

    @property
    def stay_id(self) -> str:
        """Number it as the hospital does."""
        return f"{self.person.patient_id}-{self.number + 1}"


def stays(seed: int, patient: int, outcome: int, count: int, practice: Practice) -> Iterator[Stay]:
    """Invent a patient's stays; a second one is a return with the same illness."""
    draw = np.random.default_rng(key(seed, "patient", patient))
    finding = bool(draw.random() < OPACITY[outcome])
    one = person(seed, patient, finding)
    age = int(np.clip(one.age + 4 * outcome + practice.older, 18, 95))
    conditions = tuple(name for name in CONDITIONS if draw.random() < FREQUENT[name][outcome])
    for number in range(count):
        own = np.random.default_rng(key(seed, "stay", patient, number))
        ill = own.normal(EFFECT * outcome, 1, size=2)  # inflammation, shortness of breath
        missed = own.random()
        vitals = _vitals(own, ill[0], ill[1], practice.watched)
        if missed > 1 - practice.no_vitals:
            vitals[:] = np.nan
        labs = _labs(own, ill[0], "renal_failure" in conditions)
        yield Stay(
            one._replace(age=age), number, outcome, conditions, vitals, labs, missed >= practice.no_image
        )


def _vitals(draw: np.random.Generator, inflammation: float, breath: float, watched: float) -> Grid:
    # in the order of VITALS; the illness shows more and more over the first day
    shown = np.clip(np.arange(HOURS) / 18, 0.3, 1)[:, None]
    usual = np.array([80.0, 17.0, 36.8, 96.0, 128.0]) + draw.normal(0, 1, 5) * [8, 2, 0.25, 1, 14]
    change = np.array(
        [7 * inflammation + 3 * breath, 3 * breath, 0.5 * inflammation, -1.5 * breath, -4 * inflammation]
    )
    noise = draw.normal(0, 1, (HOURS, 5)) * [6, 2, 0.25, 1, 9]
    values = (usual + shown * change + noise).clip([30, 5, 33, 60, 55], [210, 50, 42, 100, 240])
    values[draw.random(values.shape) >= watched] = np.nan
    return values


def _labs(draw: np.random.Generator, inflammation: float, renal: bool) -> Grid:
    # the hour, then in the order of LABS
    hours = np.array([draw.uniform(*between) for between in DRAWN_AT])
    noise = draw.normal(0, 1, (len(hours), 4))
    rising = np.clip(hours / 18, 0.5, 1)
    values = [
        np.exp(3.0 + 0.7 * inflammation * rising + 0.6 * noise[:, 0]),
        (9 + 1.5 * inflammation * rising + 2.2 * noise[:, 1]).clip(0.5),
        np.exp(0.3 + 0.15 * inflammation * rising + 0.35 * noise[:, 2]),
        np.exp(4.4 + 0.7 * renal + 0.25 * noise[:, 3]),
    ]
    return np.column_stack([hours, *values])
