"""The files of a MEDS folder (Medical Event Data Standard, version 0.4), checked by its own schema package.

| file | content |
|---|---|
| data/**/*.parquet | subject_id, time (null: static), code, numeric_value, text_value |
| labels/OUTCOME.parquet (or labels/OUTCOME/**/*.parquet) | subject_id, prediction_time, boolean_value |
| metadata/subject_splits.parquet, if any | subject_id, split; `held_out` is the source's own test set |
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from flexible_schema import SchemaValidationError, TableValidationError
from meds import (
    DataSchema,
    LabelSchema,
    SubjectSplitSchema,
    data_subdirectory,
    held_out_split,
    subject_splits_filepath,
)

from coordinator.errors import DataError

LABELS: Final = "labels"
BATCH: Final = 500_000  # events held at once
Schema = type[DataSchema] | type[LabelSchema] | type[SubjectSplitSchema]


def shards(folder: Path) -> list[Path]:
    """List the files of events, in the order of their names.

    Raises:
        DataError: there are none.
    """
    found = sorted((folder / data_subdirectory).rglob("*.parquet"))
    if not found:
        raise DataError(f"{folder}: no {data_subdirectory}/**/*.parquet; expected a folder of MEDS data")
    return found


def events(path: Path) -> Iterator[pa.Table]:
    """Give a shard's events in blocks as MEDS has them: subject_id, time, code, numeric_value.

    Raises:
        DataError: the file is damaged or does not conform.
    """
    columns = [DataSchema.subject_id_name, DataSchema.time_name, DataSchema.code_name]
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            values = [name for name in (DataSchema.numeric_value_name,) if name in names]
            wanted = [name for name in columns if name in names]
            for batch in file.iter_batches(BATCH, columns=[*wanted, *values]):
                table = conforming(pa.Table.from_batches([batch]), DataSchema, path)
                if not values:
                    nothing = pa.nulls(len(table), DataSchema.numeric_value_dtype)
                    table = table.append_column(DataSchema.numeric_value_name, nothing)
                yield table.select([*columns, DataSchema.numeric_value_name])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no readable Parquet file ({_first(error)}); copy it again") from None


def conforming(table: pa.Table, schema: Schema, path: Path) -> pa.Table:
    """Cast a table to a schema of MEDS, which refuses nulls where it allows none.

    Raises:
        DataError: it does not conform.
    """
    try:
        table = schema.align(table)
        schema.validate(table)
    except (SchemaValidationError, TableValidationError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: not a table of MEDS's {schema.__name__} ({_first(error)}); convert the data again"
        ) from None
    return table


def beginning(codes: pa.Array, starts: Sequence[str]) -> pa.Array:
    """Say which codes begin with one of these; looks at each code once, however often it stands."""
    encoded = codes.dictionary_encode()
    known = np.array(encoded.dictionary.to_pylist(), dtype=object)
    hit = np.array([code.startswith(tuple(starts)) for code in known], dtype=bool)
    return pa.array(hit[encoded.indices.to_numpy(zero_copy_only=False)] if len(known) else hit)


def label_files(folder: Path, outcome: str | None) -> list[Path]:
    """Find the labels of an outcome, or of the only one there is.

    Raises:
        DataError: there are none, or several and none was asked for.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted((folder / LABELS).rglob("*.parquet")):
        found.setdefault(path.relative_to(folder / LABELS).parts[0].removesuffix(".parquet"), []).append(path)
    if outcome is None and len(found) == 1:
        [outcome] = found
    if outcome not in found:
        asked = f"{LABELS}/{outcome}.parquet" if outcome else f"one outcome in {LABELS}/"
        raise DataError(
            f"{folder}: expected {asked}, found {', '.join(found) or 'none'}; correct data.outcome, or add a "
            "label file of MEDS's LabelSchema"
        )
    return found[str(outcome)]


def labels(path: Path) -> pa.Table:
    """Read a label file: subject_id, prediction_time, boolean_value.

    Raises:
        DataError: the file is damaged, does not conform, or holds labels of another kind.
    """
    table = conforming(_whole(path), LabelSchema, path)
    if LabelSchema.boolean_value_name not in table.column_names:
        raise DataError(f"{path}: no boolean_value; expected an outcome that is true or false")
    return table.select(["subject_id", "prediction_time", "boolean_value"])


def held_out(folder: Path) -> frozenset[int] | None:
    """Name the subjects of the source's own test set; None where it has none.

    Raises:
        DataError: the file is damaged or does not conform.
    """
    path = folder / subject_splits_filepath
    if not path.exists():
        return None
    table = conforming(_whole(path), SubjectSplitSchema, path)
    return frozenset(table.filter(pc.field("split") == held_out_split)["subject_id"].to_pylist())


def _whole(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no readable Parquet file ({_first(error)}); copy it again") from None


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
