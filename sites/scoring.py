"""Scores reconstructed records by modality: tables, series, images."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.attacks.layout import Layout
from coordinator.attacks.tableak import word_columns
from sites import leakage
from sites.leakage import Measure
from sites.sensitive import sensitive

Floats = NDArray[np.float32]


def scored(
    guess: Mapping[str, Floats], truth: Mapping[str, Floats], auxiliary: Mapping[str, Floats],
    statistics: Mapping[str, Any], seed: int,
) -> dict[str, list[Measure]]:  # fmt: skip
    """Score each modality over the records that have it; the trivial guess is the mean auxiliary record."""
    found = {}
    for place, name in enumerate(guess):
        here = truth["present"][:, place] > 0 if "present" in truth else np.ones(len(guess[name]), dtype=bool)
        there = auxiliary["present"][:, place] > 0 if "present" in truth else slice(None)
        arrays = guess[name][here], truth[name][here], auxiliary[name][there].mean(axis=0)
        if here.any() and (measures := _SCORES[name](*arrays, statistics, seed)):
            found[name] = measures
    return found


def _table(
    guess: Floats, truth: Floats, mean: Floats, statistics: Mapping[str, Any], seed: int
) -> list[Measure]:
    numeric = len(statistics["numeric"])  # flags of what is missing and words stand behind the numbers
    own, real = guess[:, :numeric], truth[:, :numeric]
    known = real != 0  # a missing number was replaced by the mean, which is exactly 0 here
    found = leakage.numbers(real, own, mean[:numeric], known, seed=seed) if known.any() else []
    words = word_columns(Layout.of(statistics))
    return [*found, *leakage.cells(truth, guess, mean, known, words, seed=seed),
            *sensitive(truth, guess, statistics)]  # fmt: skip


def _series(
    guess: Floats, truth: Floats, mean: Floats, statistics: Mapping[str, Any], seed: int
) -> list[Measure]:
    half = truth.shape[2] // 2  # what was measured stands behind the values
    real, known = (each.reshape(len(truth), -1) for each in np.split(truth, 2, axis=2))
    own = guess[:, :, :half].reshape(len(guess), -1)
    flags = known > 0
    return leakage.numbers(real, own, mean[:, :half].ravel(), flags, seed=seed) if flags.any() else []


def _image(
    guess: Floats, truth: Floats, mean: Floats, statistics: Mapping[str, Any], seed: int
) -> list[Measure]:
    real, own, trivial = (as_pixels(each, statistics) for each in (truth, guess, mean))
    return leakage.images(real, own, trivial, seed=seed)


def as_pixels(values: Floats, statistics: Mapping[str, Any]) -> Floats:
    """Undo the normalisation of images (..., channels, height, width), to values from 0 to 1."""
    middle, spread = (
        np.array([each[what] for each in statistics["image"]], dtype=np.float32)[:, None, None]
        for what in ("mean", "std")
    )
    return values * spread + middle


_SCORES: Final = {"table": _table, "series": _series, "image": _image}
