"""What the sites agree on before training: each one's aggregates in, one normalisation for all out.

A site sends numbers about all its training rows together, never a row; the coordinator merges them and every
arm of a study uses the result. Plain numpy and JSON: neither side needs the other's libraries.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from coordinator.errors import ConfigError, ProtocolError

COUNTS = ("train", "train_events", "validation", "test", "auxiliary")
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Aggregates:
    """One site's training rows as aggregates.

    `counts` has the keys `COUNTS`. `names` are the numeric features (f); `n` int64, `mean` float64, `m2`
    float64 (the sum of squared differences from the mean) and `missing` int64 are (f,). `levels` maps every
    categorical feature to the words seen and their counts, small ones left out. `suppressed` counts what was
    left out for being small. `shape` is an image's (channels, height, width), empty for a table.
    """

    counts: dict[str, int]
    names: tuple[str, ...]
    n: Integers
    mean: Floats
    m2: Floats
    missing: Integers
    levels: dict[str, dict[str, int]] = field(default_factory=dict)
    suppressed: int = 0
    shape: tuple[int, ...] = ()


class Moments(NamedTuple):
    """Count, mean, and sum of squared differences from it, each (f,)."""

    n: Integers
    mean: Floats
    m2: Floats


def merge(task: str, seed: int, parts: Mapping[str, Aggregates]) -> dict[str, Any]:
    """Merge the sites' aggregates, in the study's order, into the content of statistics.json.

    Raises:
        ProtocolError: a site's aggregates are impossible, or describe other features than the first site's.
    """
    _check(parts)
    first = next(iter(parts.values()))
    total = Moments(first.n, first.mean, first.m2)
    for part in list(parts.values())[1:]:
        total = combined(total, Moments(part.n, part.mean, part.m2))
    statistics = {
        "task": task,
        "seed": seed,
        "sites": {site: {name: part.counts[name] for name in COUNTS} for site, part in parts.items()},
        "numeric": _numeric(first.names, total, np.sum([part.missing for part in parts.values()], axis=0)),
        "categorical": [
            {"name": name, "levels": sorted(set().union(*(part.levels[name] for part in parts.values())))}
            for name in first.levels
        ],
        "suppressed": {site: part.suppressed for site, part in parts.items()},
    }
    statistics["input_shape"] = list(first.shape) or [len(columns(statistics))]
    return statistics


def read_statistics(path: Path | None) -> dict[str, Any]:
    """Read what the sites agreed on.

    Raises:
        ConfigError: no file was named, or it is missing or no statistics.
    """
    if path is None:
        raise ConfigError("--statistics is missing: a run needs the statistics.json its sites agreed on")
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if {"sites", "input_shape"} <= set(content):
            return content
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); agree again") from None
    raise ConfigError(f"{path}: not a statistics.json; agree again")


def combined(a: Moments, b: Moments) -> Moments:
    """Merge the moments of two disjoint sets of rows (Chan, Golub, LeVeque 1979, eq. 2.1)."""
    n = a.n + b.n
    share = np.divide(b.n, n, out=np.zeros(len(n)), where=n > 0)
    delta = b.mean - a.mean
    return Moments(n, a.mean + delta * share, a.m2 + b.m2 + delta**2 * a.n * share)


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


def _numeric(names: tuple[str, ...], total: Moments, missing: Integers) -> list[dict[str, Any]]:
    # a feature nobody measured, or one that never varies, is left as it is but for its mean
    variance = np.divide(total.m2, total.n, out=np.zeros(len(names)), where=total.n > 0)
    spread = np.sqrt(variance)
    spread[spread <= 1e-12 * np.abs(total.mean)] = 0
    std = np.where(spread > 0, spread, 1.0)
    return [
        {
            "name": name,
            "n": int(total.n[i]),
            "mean": float(total.mean[i]),
            "std": float(std[i]),
            "missing": int(missing[i]),
        }
        for i, name in enumerate(names)
    ]


def _check(parts: Mapping[str, Aggregates]) -> None:
    reference, first = next(iter(parts.items()))
    for site, part in parts.items():
        expected, found = ((p.names, tuple(p.levels), p.shape) for p in (first, part))
        if found != expected:
            raise ProtocolError(
                f"site '{site}' sent aggregates of {found}, expected {expected} as '{reference}' sent; "
                "prepare the sites' data with one version"
            )
        if problem := _impossible(part):
            raise ProtocolError(
                f"site '{site}' sent impossible aggregates: {problem}; prepare its data again"
            )


def _impossible(part: Aggregates) -> str | None:
    arrays = (part.n, part.mean, part.m2, part.missing)
    if any(array.shape != (len(part.names),) for array in arrays):
        return f"arrays of {[array.shape for array in arrays]} for {len(part.names)} features"
    if [array.dtype.kind for array in arrays] != ["i", "f", "f", "i"]:
        return f"arrays of {[str(array.dtype) for array in arrays]}"
    if not (np.isfinite(part.mean).all() and np.isfinite(part.m2).all()):
        return "a mean or variance that is not finite"
    if min([0, *part.counts.values(), part.suppressed]) < 0 or any(
        (array < 0).any() for array in (part.n, part.m2, part.missing)
    ):
        return "a negative count or variance"
    if set(part.counts) != set(COUNTS) or part.counts["train_events"] > part.counts["train"]:
        return f"counts {part.counts}"
    if not part.shape and (part.n + part.missing > part.counts["train"]).any():
        return "a feature with more values than training rows"
    return None
