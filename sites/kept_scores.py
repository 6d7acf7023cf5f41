"""The test scores that a site keeps of each run for itself, to estimate from them later."""

import io
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from coordinator.errors import DataError
from coordinator.outcome import write_bytes

FOLDER: Final = "scores"  # in the site's state
_RUN: Final = b"suture run"


def keep(scores: pd.DataFrame, path: Path, run: str) -> None:
    """Write record, patient, label and score of each test record, and which run gave them."""
    table = pa.Table.from_pandas(scores, preserve_index=False).replace_schema_metadata({_RUN: run.encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(path, buffer.getvalue(), mode=0o600)


def run_of(path: Path) -> str:
    """Give what identifies the run of kept scores; empty: they do not say.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); run the run again") from None
    return str(metadata.get(_RUN, b"").decode())


def forget(state: Path) -> None:
    """Remove what an earlier attempt kept: a run that goes on without this site must not find it."""
    for path in (state / FOLDER).glob("*.parquet"):
        path.unlink()
