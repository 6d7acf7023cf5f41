"""Invented patients and what an X-ray shows of them: body, lungs, heart, spine, ribs, perhaps an opacity.

Lengths are mm from the centre of the chest, brightness is the share of rays stopped, 0 to 1.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from coordinator.config import Scanner
from coordinator.draws import key

FIELD_MM: Final = 304.0  # side of the square every image is cropped to
DETECTOR_MM: Final = (400.0, 352.0)  # height, width
BINNING: Final = 16  # detector pixels a side per stored pixel, so that files stay small
Picture = npt.NDArray[np.float64]


class Person(NamedTuple):
    """An invented patient; `finding` is whether there is an opacity."""

    patient_id: str
    name: str
    sex: str
    age: int
    finding: bool
    seed: int


def person(seed: int, number: int, finding: bool) -> Person:
    """Invent the patient with this number."""
    draw = np.random.default_rng(key(seed, "person", number))
    name = f"Patient^{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[draw.integers(26)]}{number:04d}"
    sex, age = str(draw.choice(["F", "M"])), int(np.clip(draw.normal(58, 15), 18, 95))
    return Person(f"X{100_000 + 7 * number}", name, sex, age, finding, key(seed, "anatomy", number))


def spacing_mm(scanner: Scanner) -> float:
    """Distance between the stored pixels' centres."""
    return scanner.spacing_mm * BINNING


def radiograph(patient: Person, image: int, scanner: Scanner) -> Picture:
    """Draw one image of a patient as this device resolves it, (rows, columns), values in [0, 1]."""
    body = np.random.default_rng(patient.seed)
    stand = np.random.default_rng(key(patient.seed, "image", image))  # how the patient stood this time
    rows, columns = (round(side / spacing_mm(scanner)) for side in DETECTOR_MM)
    y, x = np.meshgrid(
        (np.arange(rows) - (rows - 1) / 2) * spacing_mm(scanner) + stand.normal(0, 4),
        (np.arange(columns) - (columns - 1) / 2) * spacing_mm(scanner) + stand.normal(0, 4),
        indexing="ij",
    )
    size = body.normal(1.0, 0.04) * (0.95 if patient.sex == "F" else 1.0)
    picture = _chest(x / size, y / size, body)
    if patient.finding:
        picture = picture + _opacity(x / size, y / size, body)
    exposure = stand.normal(1.0, 0.03)
    noise = gaussian_filter(stand.normal(0, 1, picture.shape), 0.7) * 0.03
    return np.clip(picture * exposure + noise, 0, 1) ** scanner.contrast


def _ellipse(
    x: Picture, y: Picture, centre: tuple[float, float], axes: tuple[float, float], edge: float
) -> Picture:
    """1 inside, 0 outside, with an edge about `edge` mm wide."""
    radius = np.hypot((x - centre[0]) / axes[0], (y - centre[1]) / axes[1])
    inside: Picture = 1 / (1 + np.exp(np.clip((radius - 1) * min(axes) / edge * 4, -50, 50)))
    return inside


def _chest(x: Picture, y: Picture, draw: np.random.Generator) -> Picture:
    jitter = draw.normal(0, 1, 12)
    picture = 0.62 * _ellipse(x, y, (0, 10), (160, 230), 8)
    lungs = sum(
        _ellipse(
            x,
            y,
            (side * (72 + 4 * jitter[0]), -10 + 6 * jitter[1]),
            (50 + 4 * jitter[2], 105 + 8 * jitter[3]),
            8,
        )
        for side in (-1, 1)
    )
    picture -= (0.40 + 0.03 * jitter[4]) * lungs
    picture += 0.20 * _ellipse(
        x, y, (24 + 5 * jitter[5], 45), (58 + 7 * jitter[6], 50 + 5 * jitter[7]), 7
    )  # heart
    picture += 0.10 * _ellipse(x, y, (0, 0), (14, 220), 5)  # spine
    for level in range(9):
        curve = -110 + 26 * level + 3 * jitter[8] + 0.0022 * (np.abs(x) - 60) ** 2
        picture += 0.06 * np.exp(-(((y - curve) / 4.5) ** 2)) * (np.abs(x) < 135)  # ribs
    for _ in range(3):  # vessels, breast, shadows of clothing: soft too, but small or faint, sick or not
        where, width = draw.uniform(-120, 120, 2), draw.uniform(8, 14)
        picture += draw.uniform(0.02, 0.16) * np.exp(
            -((x - where[0]) ** 2 + (y - where[1]) ** 2) / (2 * width**2)
        )
    return picture


def _opacity(x: Picture, y: Picture, draw: np.random.Generator) -> Picture:
    side, width = draw.choice([-1, 1]), draw.uniform(18, 28)
    where = side * draw.uniform(55, 90), draw.uniform(-70, 55)
    height = draw.uniform(0.4, 0.8)
    spot: Picture = height * np.exp(-((x - where[0]) ** 2 + ((y - where[1]) / 1.2) ** 2) / (2 * width**2))
    return spot
