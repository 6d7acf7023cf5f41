"""How well sex and age are told from a reconstructed table, whether or not its numbers are right."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.attacks.layout import Layout
from coordinator.attacks.tableak import word_columns
from sites.leakage import Measure, told_apart

Floats = NDArray[np.float32]
SEX: Final = ("sex", "gender")
OLD: Final = 65  # years and more


def sensitive(truth: Floats, guess: Floats, statistics: Mapping[str, Any]) -> list[Measure]:
    """Score sex and the age band by AUROC, chance beside it; nothing of a table that has neither.

    Args:
        truth: (records, columns), as the model reads them.
        guess: (records, columns), the attack's.
        statistics: what the sites agreed on, which names the columns.
    """
    found = []
    for place, feature in enumerate(statistics["numeric"]):
        if str(feature.get("name", "")).lower() == "age":
            old = truth[:, place] >= (OLD - feature["mean"]) / feature["std"]
            found += told_apart("auroc_age_65", old, guess[:, place])
        elif feature.get("name", "").lower() in SEX:  # coded as a number
            found += told_apart("auroc_sex", truth[:, place] > 0, guess[:, place])
    words = [each for each in statistics["categorical"] if each["levels"]]
    for feature, columns in zip(words, word_columns(Layout.of(statistics)), strict=True):
        if feature["name"].lower() in SEX and columns.stop - columns.start > 1:
            one = guess[:, columns.start] - guess[:, columns.start + 1]
            found += told_apart("auroc_sex", truth[:, columns.start] > np.float32(0.5), one)
    return found
