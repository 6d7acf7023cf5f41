"""What a variable can be at all: a number outside its limits is taken for missing, and counted."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sites.reading import Feature, Reading


def within(reading: Reading) -> tuple[Reading, dict[str, int]]:
    """Take numbers outside their features' limits for missing; returns how many there were of each."""
    outside = dict(reading.outside)
    frame = reading.frame.copy()
    for feature in _limited(reading.features):
        values = frame[feature.name].to_numpy(dtype=np.float64, copy=True)
        if found := _drop(values, feature):
            outside[feature.name] = found
            frame[feature.name] = values
    series = reading.series
    if series is not None:
        values = series.values.copy()
        for place, variable in enumerate(series.variables):
            if found := _drop(values[:, :, place], variable):
                outside[variable.name] = outside.get(variable.name, 0) + found
        series = series._replace(values=values)
    return replace(reading, frame=frame, series=series), outside


def _limited(features: tuple[Feature, ...]) -> list[Feature]:
    return [
        each for each in features if each.kind == "numeric" and not (each.low is None and each.high is None)
    ]


def _drop(values: npt.NDArray[np.floating], feature: Feature) -> int:
    low = -np.inf if feature.low is None else feature.low
    high = np.inf if feature.high is None else feature.high
    wrong = (values < low) | (values > high)
    values[wrong] = np.nan
    return int(wrong.sum())
