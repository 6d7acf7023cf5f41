"""What the sites agree on before training: each one's aggregates in, one normalisation for all out.

A site sends numbers about all its training rows together, never a row; the coordinator merges them and every
arm of a study uses the result. Plain numpy and JSON: neither side needs the other's libraries.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from coordinator.aggregates import COUNTS, Aggregates, Moments, check, combined
from coordinator.errors import ConfigError, ProtocolError

KINDS: Final = ("numeric", "series", "image", "categorical")
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def merge(task: str, seed: int, parts: Mapping[str, Aggregates]) -> dict[str, Any]:
    """Merge the sites' aggregates, in the study's order, into the content of statistics.json.

    Raises:
        ProtocolError: a site's aggregates are impossible, or describe other features than the first site's.
    """
    check(parts)
    first = next(iter(parts.values()))
    total = Moments(first.n, first.mean, first.m2)
    for part in list(parts.values())[1:]:
        total = combined(total, Moments(part.n, part.mean, part.m2))
    missing = np.sum([part.missing for part in parts.values()], axis=0)
    histogram = np.sum([part.histogram for part in parts.values()], axis=0)
    variables = _variables(first, total, missing, histogram)
    statistics = {
        "task": task,
        "seed": seed,
        "sites": {site: {name: part.counts.get(name) for name in COUNTS} for site, part in parts.items()},
        **variables,
        "categorical": [
            {"name": name, "levels": sorted(set().union(*(part.levels[name] for part in parts.values())))}
            for name in first.levels
        ],
        "suppressed": {site: part.suppressed for site, part in parts.items()},
    }
    return {**statistics, "input_shapes": input_shapes(first.shapes, statistics)}


def input_shapes(
    shapes: Mapping[str, tuple[int, ...]], statistics: Mapping[str, Any]
) -> dict[str, list[int]]:
    """Give one record's input shape per modality, and of the flags that say which are present."""
    found: dict[str, list[int]] = {}
    for modality, shape in shapes.items():
        if modality == "table":
            found[modality] = [len(columns(statistics))]
        elif modality == "series":
            found[modality] = [shape[0], 2 * shape[1]]  # values, and what was measured
        else:
            found[modality] = list(shape)
    return {**found, "present": [len(found)]} if len(found) > 1 else found


def with_frozen(statistics: dict[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an earlier agreement's normalisation and vocabularies, with the present sites' counts.

    Raises:
        ProtocolError: the earlier agreement was on other features, or on series or images of another shape.
    """
    for kind in KINDS:
        found, earlier = ([each["name"] for each in source[kind]] for source in (statistics, frozen))
        if found != earlier:
            raise ProtocolError(
                f"the frozen statistics are of the {kind} features {earlier}, the sites have {found}; "
                "prepare the sites' data as it was prepared then"
            )
    shapes, then = (_shapes_beside_the_table(each) for each in (statistics, frozen))
    if shapes != then:
        raise ProtocolError(
            f"the frozen statistics are of records with {then}, the sites have {shapes}; "
            "prepare the sites' data as it was prepared then"
        )
    return {**statistics, **{kind: frozen[kind] for kind in (*KINDS, "input_shapes")}}


def read_statistics(path: Path | None) -> dict[str, Any]:
    """Read what the sites agreed on.

    Raises:
        ConfigError: no file was named, or it is missing or no statistics.
    """
    if path is None:
        raise ConfigError("--statistics is missing: a run needs the statistics.json its sites agreed on")
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if {"sites", "input_shapes", *KINDS} <= set(content):
            return content
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); agree again") from None
    raise ConfigError(f"{path}: not a statistics.json; agree again")


def normalisation_digest(statistics: Mapping[str, Any]) -> str:
    """Hash what a model's inputs depend on: normalisation, vocabularies and shapes (sha256, hex)."""
    what = {name: statistics[name] for name in (*KINDS, "input_shapes")}
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _shapes_beside_the_table(statistics: Mapping[str, Any]) -> dict[str, list[int] | None]:
    # a table's width follows from the words and gaps of then, which are kept
    shapes = statistics["input_shapes"]
    return {name: None if name == "table" else list(shape) for name, shape in shapes.items()}


def columns(statistics: Mapping[str, Any]) -> list[str]:
    """Name a table's input columns in order: numbers, indicators of missing ones, one per agreed word."""
    numeric = [feature["name"] for feature in statistics["numeric"]]
    return [
        *numeric,
        *(f"{name}:missing" for name in indicated(statistics)),
        *(
            f"{feature['name']}={level}"
            for feature in statistics["categorical"]
            for level in feature["levels"]
        ),
    ]


def indicated(statistics: Mapping[str, Any]) -> list[str]:
    """Name the numeric features that some site's training rows lack at times."""
    return [feature["name"] for feature in statistics["numeric"] if feature["missing"]]


def quartiles(histogram: Integers, low: float, high: float) -> list[float] | None:
    """Read the quartiles off a histogram (BINS,), linear within a bin; None where nothing was counted."""
    below = np.concatenate([[0], np.cumsum(histogram)])
    if not below[-1]:
        return None
    edges = np.linspace(low, high, len(below))
    return [float(value) for value in np.interp(below[-1] * np.array([0.25, 0.5, 0.75]), below, edges)]


def left_out(statistics: Mapping[str, Any]) -> str:
    """Say in a line how far the agreement differs from one on all rows pooled, where it does."""
    cells = {site: count for site, count in statistics["suppressed"].items() if count}
    if not cells:
        return "no cell was suppressed: the statistics equal those of all training rows pooled"
    numbers = [each for kind in ("numeric", "series", "image") for each in statistics[kind]]
    limited = [each for each in numbers if "uncounted" in each]
    n, lost = (sum(each[what] for each in limited) for what in ("n", "uncounted"))
    where = ", ".join(f"{count} at {site}" for site, count in cells.items())
    return f"cells too small to leave a site: {where}; {lost} of {n} values are in no histogram's bin"


def _variables(
    first: Aggregates, total: Moments, missing: Integers, histogram: Integers
) -> dict[str, list[dict[str, Any]]]:
    mean, std = _scale(total, first.limits)
    found: dict[str, list[dict[str, Any]]] = {"numeric": [], "series": [], "image": []}
    for i, name in enumerate(first.names):
        group, _, own = name.partition(":") if name.startswith(("series:", "image:")) else ("", "", name)
        low, high = first.limits[i]
        described = {
            "name": own, "n": int(total.n[i]), "mean": float(mean[i]), "std": float(std[i]),
            "missing": int(missing[i]), "quartiles": None,
        }  # fmt: skip
        if low < high:
            described["quartiles"] = quartiles(histogram[i], float(low), float(high))
            # values in bins that were too small to tell of
            described["uncounted"] = int(total.n[i] - histogram[i].sum())
        found[group or "numeric"].append(described)
    return found


def _scale(total: Moments, limits: Floats) -> tuple[Floats, Floats]:
    """Give mean and standard deviation (f,).

    Of a variable that no site may tell of, or that never varies, the limits give a scale, so that what some
    patient has of it all the same is no enormous input; where there are none it is left as it is.
    """
    middle, range_ = limits.mean(axis=1), limits[:, 1] - limits[:, 0]
    variance = np.divide(total.m2, total.n, out=np.zeros(len(total.n)), where=total.n > 0)
    spread = np.sqrt(variance)
    spread[spread <= 1e-12 * np.abs(total.mean)] = 0
    without = np.where(range_ > 0, range_ / 4, 1.0)
    mean = np.where((total.n == 0) & (range_ > 0), middle, total.mean)
    return mean, np.where(spread > 0, spread, without)
