"""Reads the runs' released test scores, and checks that all runs scored the same patients."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from coordinator.errors import ConfigError, DataError
from coordinator.metrics import Labels, Scores
from coordinator.score_files import COLUMNS, GROUPS, score_columns
from coordinator.specs import Evaluation, Run
from coordinator.walking import may_lose

WHOLE = 1e-6  # how far off 1 the sum of a record's probabilities may be


Table = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TaskScores:
    """One task's frozen test records, in site and record order, and what each run scored them."""

    task: str
    sites: tuple[str, ...]
    site: NDArray[np.int64]  # (n,) number of the record's site
    patient: NDArray[np.int64]  # (n,)
    label: Labels  # (n,)
    scores: dict[str, dict[int, Scores]]  # strategy -> seed -> (n,), or (n, classes) of several
    without_model: dict[str, tuple[str, ...]] = field(default_factory=dict)  # strategy -> held-out sites
    away: dict[str, tuple[str, ...]] = field(default_factory=dict)  # strategy -> sites away at a run's end
    groups: dict[str, NDArray[np.str_]] = field(default_factory=dict)  # variable -> (n,), "" unknown
    classes: tuple[str, ...] = ()  # of the outcome, by label, where there are more than two


def read_task(spec: Evaluation, results: Path, task: str) -> TaskScores:
    """Read every run of a task.

    Raises:
        ConfigError: a run or one of its files is missing.
        DataError: a file is not as described, or two runs scored different records.
    """
    runs = [run for run in spec.runs.values() if run.task == task]
    tables = [_tables(results, run) for run in runs]
    whole = {site: next((each[site] for each in tables if site in each), None) for site in runs[0].sites}
    if missing := [site for site, table in whole.items() if table is None]:
        file_of(results, runs[0], f"predictions/{missing[0]}.parquet")  # which says so
    known = {site: table for site, table in whole.items() if table is not None}
    site, records, scores = _joined(runs[0], tables[0], known)
    found: dict[str, dict[int, Scores]] = {runs[0].strategy: {runs[0].seed: scores}}
    away: dict[str, tuple[str, ...]] = {}  # in a run with any seed
    for run, own in zip(runs, tables, strict=True):
        gone = {*away.get(run.strategy, ()), *(each for each in run.sites if each not in own)}
        away[run.strategy] = tuple(sorted(gone))
    for run, own in zip(runs[1:], tables[1:], strict=True):
        _, others, scores = _joined(run, own, known)
        if not np.array_equal(records, others):
            raise DataError(
                f"{folder_of(results, run)}: its test records differ from those of "
                f"{folder_of(results, runs[0])}; all runs must score "
                "the same frozen patients: remove both and rerun"
            )
        found.setdefault(run.strategy, {})[run.seed] = scores
    held_out = spec.study.tasks[task].split.held_out
    without = {
        strategy: lacking
        for strategy, by_seed in found.items()
        if (lacking := _without_model(runs, strategy, by_seed, site, held_out))
    }
    told = [next(run for run, own in zip(runs, tables, strict=True) if name in own) for name in runs[0].sites]
    groups = _read_groups(results, told)
    return TaskScores(
        task, runs[0].sites, site, records[1], records[2], found, without, away, groups, runs[0].classes
    )


def has_own_model(run: Run) -> bool:
    """Say whether a site must have trained to have a model or layers of its own."""
    private = run.algorithm == "split" and run.site_parts == "private"
    return run.preset == "local" or private or (run.algorithm == "federated" and run.rule == "fedbn")


def _without_model(
    runs: list[Run],
    strategy: str,
    by_seed: dict[int, Scores],
    site: NDArray[np.int64],
    held_out: tuple[str, ...],
) -> tuple[str, ...]:
    """Name the sites that only test and got no model, and so no score."""
    run = next(run for run in runs if run.strategy == strategy)
    if not has_own_model(run):
        return ()
    return tuple(
        name
        for name in held_out
        if all(np.isnan(score[site == run.sites.index(name)]).all() for score in by_seed.values())
    )


def folder_of(results: Path, run: Run) -> Path:
    """Name the folder of a run's results."""
    return results / "runs" / run.task / run.strategy / str(run.seed)


def file_of(results: Path, run: Run, name: str) -> Path:
    """Name one of a run's files.

    Raises:
        ConfigError: it is not there.
    """
    path = folder_of(results, run) / name
    if not path.is_file():
        raise ConfigError(
            f"run {run.task}/{run.strategy}/{run.seed}: {path} is missing; train it first (snakemake does)"
        )
    return path


def _tables(results: Path, run: Run) -> dict[str, Table]:
    """Read what each site scored; of a run that may go on without a site, one that was away has no file."""
    paths = {site: folder_of(results, run) / f"predictions/{site}.parquet" for site in run.sites}
    if not may_lose(run):
        paths = {site: file_of(results, run, f"predictions/{site}.parquet") for site in run.sites}
    return {site: read_site(path, run.classes) for site, path in paths.items() if path.is_file()}


def _joined(
    run: Run, own: dict[str, Table], known: dict[str, Table]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Scores]:
    """Lay the sites' tables one after the other; one that was away scored nothing: NaN."""
    tables = [
        own.get(site) or {**known[site], "score": np.full_like(known[site]["score"], np.nan)}
        for site in run.sites
    ]
    site = np.repeat(np.arange(len(tables)), [len(table["record"]) for table in tables])
    whole = {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}
    records = np.stack([whole["record"], whole["patient"], whole["label"]])
    return site, records, whole["score"]


def _read_groups(results: Path, runs: list[Run]) -> dict[str, NDArray[np.str_]]:
    """Read what subgroup each test record is of, from a run that has it; empty where none tells."""
    files = zip(runs, runs[0].sites, strict=True)
    tables = [pq.read_table(file_of(results, run, f"predictions/{site}.parquet")) for run, site in files]
    found = {}
    for name in GROUPS:
        if any(name in table.column_names for table in tables):
            told = [
                table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
                for table in tables
            ]
            found[name] = np.array([word or "" for words in told for word in words], dtype=np.str_)
    return found


def read_site(path: Path, classes: tuple[str, ...] = ()) -> Table:
    """Read one site's scores of one run, column by column; of several classes the score is (n, classes).

    Raises:
        DataError: the file is not as described.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: not a readable Parquet file ({error}); remove it and rerun the run"
        ) from None
    columns = (*COLUMNS[:3], *score_columns(classes))
    if missing := [name for name in columns if name not in table.column_names]:
        raise DataError(f"{path}: column '{missing[0]}' is missing; expected {', '.join(columns)}")
    found = {name: table[name].to_numpy() for name in COLUMNS[:3]}
    scores = [table[name].to_numpy() for name in columns[3:]]
    found["score"] = np.stack(scores, axis=1) if classes else scores[0]
    if any(np.isnan(found[name]).any() for name in COLUMNS[:3] if found[name].dtype.kind == "f"):
        raise DataError(f"{path}: an empty record, patient or label; expected whole numbers")
    found = {
        name: values.astype(np.float64 if name == "score" else np.int64) for name, values in found.items()
    }
    _check_values(path, found, max(2, len(classes)))
    return found


def _check_values(path: Path, found: dict[str, NDArray[Any]], classes: int) -> None:
    if wrong := sorted(set(found["label"].tolist()) - set(range(classes))):
        expected = "0 or 1" if classes == 2 else f"0 to {classes - 1}"
        raise DataError(f"{path}: label {wrong[0]}; expected {expected}")
    score = found["score"]
    outside = (score < 0) | (score > 1)
    if outside.any():
        raise DataError(f"{path}: score {score[outside][0]}; expected a probability between 0 and 1")
    if score.ndim == 2 and (np.abs(score.sum(axis=1) - 1) > WHOLE).any():
        raise DataError(f"{path}: a record's scores do not add up to 1; expected a probability of each class")
