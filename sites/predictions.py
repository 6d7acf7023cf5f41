"""A site's test scores, as released under ``release: predictions``."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from coordinator.outcome import write_bytes
from coordinator.score_files import score_columns
from sites.records import Records


def probabilities(logits: Tensor) -> npt.NDArray[np.float64]:
    """Give the probability of label 1 (n,) from logits (n, 1) float32; of each class (n, k) from (n, k)."""
    wide = logits.double()
    found: npt.NDArray[np.float64] = (wide.softmax(1) if wide.shape[1] > 1 else wide[:, 0].sigmoid()).numpy()
    return found


def scores_of(test: Records, logits: Tensor, classes: tuple[str, ...] = ()) -> pd.DataFrame:
    """Give record, patient, label and score (the probability of label 1) of each test record.

    Of several classes there is a score for each, named by it (`score_columns`).

    Args:
        test: the records, n of them.
        logits: (n, outputs) float32.
        classes: of the outcome, where there are more than two.
    """
    return pd.DataFrame(
        {
            "record": test.record,
            "patient": test.patient,
            "label": test.labels.astype("int64"),
            **by_class(probabilities(logits), "score", classes),
        }
    )


def by_class(
    found: npt.NDArray[np.float64], name: str, classes: tuple[str, ...]
) -> dict[str, npt.NDArray[np.float64]]:
    """Give the columns of probabilities (n,), or (n, classes)."""
    if not classes:
        return {name: found}
    return dict(zip(score_columns(classes, name), found.T, strict=True))


def write_predictions(
    test: Records,
    logits: Tensor,
    path: Path,
    *,
    classes: tuple[str, ...] = (),
    subgroups: bool = False,
) -> None:
    """Write each test record's score (`scores_of`) to a parquet file, with sex and age band if asked."""
    frame = scores_of(test, logits, classes).assign(**(test.groups if subgroups else {}))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getvalue())
