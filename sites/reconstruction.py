"""Holds the decoder against recorded activations: how much of a test record can be read off them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.attacks.decoder import train_decoder
from sites import leakage
from sites.attacked import LEAST, Attacked, Rows, activations, rows_of
from sites.leakage import Measure
from sites.records import Records

Floats = NDArray[np.float32]
# who has the front that the auxiliary records pass: of synchronous parts the coordinator knows the start,
# which the study's seed keys, and every gradient; private fronts nobody has but their site: no such attack
WHO: Final[Mapping[str, str]] = {
    "averaged": "curious_coordinator",
    "synchronous": "curious_coordinator",
    "handed_on": "collusion",
}


def decoder_rows(attacked: Attacked) -> Rows:
    """Train a decoder on the auxiliary records, and score what it makes of the test records' activations."""
    run = attacked.run
    if run.algorithm != "split" or not attacked.wire or run.site_parts not in WHO:
        return []
    recorded = {
        index: found for index in range(len(run.sites)) if (found := attacked.scored(index)) is not None
    }
    own = [hospital for hospital in attacked.hospitals if len(hospital.roles["auxiliary"].labels) > 0]
    if sum(len(hospital.roles["auxiliary"].labels) for hospital in own) < LEAST:
        return []
    auxiliary = together([hospital.roles["auxiliary"] for hospital in own])
    truth = together([attacked.hospitals[index].roles["test"] for index in recorded])
    front = attacked.front(run.sites[0])  # the final front is one and the same at all sites
    known = np.concatenate([activations(front, hospital.inputs("auxiliary")) for hospital in own])
    decode = train_decoder(known, laid_flat(auxiliary), seed=run.seed)
    guess = lifted(decode(np.concatenate(list(recorded.values()))), truth)
    rows: Rows = []
    for modality, measures in scored(guess, truth, auxiliary, attacked.statistics, run.seed).items():
        rows += rows_of("decoder", modality, WHO[run.site_parts], measures)
    return rows


def together(several: Sequence[Records]) -> dict[str, Floats]:
    """Give the inputs of several sites' records by modality, and which are `present`."""
    arrays = [records.inputs.arrays(slice(None)) for records in several]
    return {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}


def laid_flat(inputs: Mapping[str, Floats]) -> Floats:
    """Lay all modalities' inputs of a record in a row: (records, features)."""
    flat = [values.reshape(len(values), -1) for name, values in inputs.items() if name != "present"]
    return np.concatenate(flat, axis=1)


def lifted(flat: Floats, like: Mapping[str, Floats]) -> dict[str, Floats]:
    """Cut rows of features into modalities again."""
    found, start = {}, 0
    for name, values in like.items():
        if name != "present":
            width = int(np.prod(values.shape[1:]))
            found[name] = flat[:, start : start + width].reshape(len(flat), *values.shape[1:])
            start += width
    return found


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
    return leakage.numbers(real, own, mean[:numeric], known, seed=seed) if known.any() else []


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
    middle, spread = (
        np.array([each[what] for each in statistics["image"]], dtype=np.float32)[:, None, None]
        for what in ("mean", "std")
    )
    return leakage.images(truth * spread + middle, guess * spread + middle, mean * spread + middle, seed=seed)


_SCORES: Final = {"table": _table, "series": _series, "image": _image}
