"""A MEDS folder written in the memory of one shard: events in any order come in, sorted shards go out."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from meds import (
    CodeMetadataSchema,
    DataSchema,
    DatasetMetadataSchema,
    LabelSchema,
    code_metadata_filepath,
    data_subdirectory,
    dataset_metadata_filepath,
)
from meds import __version__ as meds_version

from sites.datasets.meds_files import LABELS

SUBJECTS_OF_A_SHARD: Final = 5_000


def write_events(blocks: Iterator[pd.DataFrame], out: Path, *, subjects: int) -> int:
    """Write data/N.parquet, by subject and time, and the metadata; returns how many events there are.

    `blocks` have subject_id, time (NaT: static), code, numeric_value (NaN: none).
    """
    count = max(1, -(-subjects // SUBJECTS_OF_A_SHARD))
    folder = out / data_subdirectory
    folder.mkdir(parents=True)
    unsorted = [folder / f"{number}.unsorted" for number in range(count)]
    with ExitStack() as stack:
        writers = [stack.enter_context(pq.ParquetWriter(path, DataSchema.schema())) for path in unsorted]
        for block in blocks:
            table = _aligned(block)
            for number, writer in enumerate(writers):
                own = pc.equal(_remainder(table["subject_id"], count), number)
                writer.write_table(table.filter(own))
    codes, total = set[str](), 0
    for number, path in enumerate(unsorted):
        table = pq.ParquetFile(path).read()
        keys = table.select(["subject_id", "time", "code", "numeric_value"]).to_pandas()
        # static first; ties by code and value, so that the tables' order changes no byte
        table = table.take(keys.sort_values(list(keys), na_position="first", kind="stable").index.to_numpy())
        pq.write_table(table, folder / f"{number}.parquet")
        codes.update(pc.unique(table["code"]).to_pylist())
        total += len(table)
        path.unlink()
    _write_metadata(sorted(codes), out)
    return total


def write_labels(labels: pd.DataFrame, out: Path, outcome: str) -> None:
    """Write labels/OUTCOME.parquet."""
    path = out / LABELS / f"{outcome}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(LabelSchema.align(pa.Table.from_pandas(labels, preserve_index=False)), path)


def _aligned(block: pd.DataFrame) -> pa.Table:
    block = block.assign(time=block["time"].astype("datetime64[us]"), code=block["code"].astype(str))
    table = pa.Table.from_pandas(block, preserve_index=False).replace_schema_metadata(None)
    nothing = pa.nulls(len(table), DataSchema.text_value_dtype)
    table = DataSchema.align(table.append_column(DataSchema.text_value_name, nothing))
    DataSchema.validate(table)
    return table.select(DataSchema.schema().names).cast(DataSchema.schema())


def _remainder(numbers: pa.ChunkedArray, by: int) -> pa.ChunkedArray:
    return pc.subtract(numbers, pc.multiply(pc.divide(numbers, by), by))


def _write_metadata(codes: list[str], out: Path) -> None:
    path = out / code_metadata_filepath
    path.parent.mkdir(parents=True)
    pq.write_table(CodeMetadataSchema.align(pa.table({"code": pa.array(codes, pa.string())})), path)
    described = {"dataset_name": "eICU-CRD", "etl_name": "Suture", "meds_version": meds_version}
    DatasetMetadataSchema.validate(described)
    (out / dataset_metadata_filepath).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
