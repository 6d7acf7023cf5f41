"""A site's test scores, as released under ``release: predictions``."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from coordinator.outcome import write_bytes
from sites.records import Records


def probabilities(logits: Tensor) -> npt.NDArray[np.float64]:
    """Give the probability of label 1 (n,) from logits (n, 1) float32."""
    found: npt.NDArray[np.float64] = logits[:, 0].double().sigmoid().numpy()
    return found


def scores_of(test: Records, logits: Tensor) -> pd.DataFrame:
    """Give record, patient, label and score (the probability of label 1) of each test record.

    Args:
        test: the records, n of them.
        logits: (n, 1) float32.
    """
    return pd.DataFrame(
        {
            "record": test.record,
            "patient": test.patient,
            "label": test.labels.astype("int64"),
            "score": probabilities(logits),
        }
    )


def write_predictions(test: Records, logits: Tensor, path: Path, *, subgroups: bool = False) -> None:
    """Write each test record's score (`scores_of`) to a parquet file, with sex and age band if asked."""
    frame = scores_of(test, logits).assign(**(test.groups if subgroups else {}))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getvalue())
