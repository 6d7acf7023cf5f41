"""A small study's results folder with known scores, in the formats that runs write."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from coordinator import specs
from coordinator.config import Site, Study
from coordinator.runs import identical, runs_of
from coordinator.specs import Evaluation

SITES = ("north", "south", "west")
SIZES = {"north": 40, "south": 30, "west": 12}
STRATEGIES = ("centralized", "local", "fedavg", "split", "split_u")
# how far apart the classes' scores lie
SKILL = {"centralized": 3.0, "local": 0.4, "fedavg": 2.9, "split": 3.0, "split_u": 3.0}
UP: dict[str, dict[str, int]] = {
    "centralized": {"pooling.records": 5000, "control.hello": 90},
    "local": {"control.hello": 90},
    "fedavg": {"training.weights": 9000, "control.hello": 90},
    "split": {"training.activations": 70000, "prediction.activations": 800, "control.hello": 90},
    "split_u": {"training.activations": 70000, "training.headgradient": 600, "control.hello": 90},
}


def study(**changes: Any) -> Study:
    """Describe a study of one task, three sites and two seeds."""
    task = {
        "title": "Known <scores> & more",
        "data": {"source": "breast_cancer"},
        "sites": list(SITES),
        "model": {"name": "mlp", "hidden": [8, 4]},
        "cut": "layer1",
        "training": {"rounds": 3},
    }
    values = {
        "name": "known", "title": "A study with known scores", "seeds": [0, 1], "allow_pooling": True,
        "release": "predictions", "bootstrap": 200, "tasks": {"tumour": task},
        "strategies": {name: {} for name in STRATEGIES}, **changes,
    }  # fmt: skip
    return Study.model_validate_json(json.dumps(values))


def evaluation(folder: Path, **changes: Any) -> Evaluation:
    """Plan the study's evaluation, with prepared folders below ``folder``."""
    planned = study(**changes)
    prepared = {
        name: {site: str(folder / "prepared" / f"tumour-{site}") for site in task.sites}
        for name, task in planned.tasks.items()
    }
    sites = {name: Site(name=name, title=f"{name.title()} hospital") for name in SITES}
    runs = runs_of(planned, prepared, sites)
    return Evaluation(study=planned, sites=sites, runs=runs, identical=identical(runs))


def labels(site: str) -> NDArray[np.int64]:
    """Give a site's test labels; west has one class only."""
    if site == "west":
        return np.ones(SIZES[site], np.int64)
    return (np.arange(SIZES[site]) % 3 == 0).astype(np.int64)


def write_study(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Write all files a finished study leaves; returns the spec and the results folder."""
    spec = evaluation(folder, **changes)
    results = folder / "results" / "known"
    for run in spec.runs.values():
        _write_run(results / "runs" / run.task / run.strategy / str(run.seed), run)
    for site in SITES:
        write_prepared(folder / "prepared" / f"tumour-{site}", site)
    for task, seed in product(spec.study.tasks, spec.study.seeds):
        path = results / "statistics" / task / str(seed) / "statistics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(_statistics(task, seed)))
    return specs.write(spec, folder / "state" / "known" / "specs"), results


def write_scores(path: Path, site: str, score: NDArray[np.float64]) -> None:
    """Write one site's predictions."""
    number = np.arange(SIZES[site], dtype=np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(
            {"record": number, "patient": number, "label": labels(site), "score": score, **groups(site)}
        ),
        path,
    )


def groups(site: str) -> dict[str, list[str | None]]:
    """Name test records' sex and age band; nobody knows the sex of three in the north."""
    n = SIZES[site]
    sex: list[str | None] = ["female", "male"] * (n // 2)
    if site == "north":
        sex[:3] = [None] * 3
    return {"sex": sex, "age_band": ["40-59" if i % 4 else "60-79" for i in range(n)]}


def _write_run(folder: Path, run: specs.Run) -> None:
    known = run.strategy if run.strategy in SKILL else run.preset
    same = "split" if known == "split_u" else known
    noise = np.random.default_rng([run.seed, STRATEGIES.index(same)])
    for site in run.sites:
        patients = np.random.default_rng(SITES.index(site)).normal(size=SIZES[site])
        raw = SKILL[known] * (labels(site) - 0.5) + patients + 0.1 * noise.normal(size=SIZES[site])
        write_scores(folder / "predictions" / f"{site}.parquet", site, 1 / (1 + np.exp(-raw)))
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _history(run)))
    (folder / "costs.json").write_text(json.dumps(_costs(run)))
    lost = {"time": 1.7e9, "back": ["north", "west"], "commit": 2, "generation": 2}
    once = f"{json.dumps(lost)}\n" if (run.strategy, run.seed) == ("fedavg", 1) else ""
    (folder / "interruptions.jsonl").write_text(once)
    (folder / "weights.sha256").write_text("0" * 64 + "\n")
    (folder / "isolation.json").write_text(
        '{"runtime": "host", "isolation": "none: plain processes on the host"}'
    )


def _history(run: specs.Run) -> list[dict[str, Any]]:
    # bytes and seconds are the run's so far; every preset has a row for all and one for each hospital
    return [
        {
            "trial": trial,
            "learning_rate": rate,
            "round": number,
            "site": site,
            "train_loss": None if run.preset == "centralized" else 0.6 - 0.1 * number,
            "validation_loss": 0.7 - 0.1 * number - 0.2 * trial + 0.01 * index,
            "validation_auroc": None if site == "west" else 0.7 + 0.08 * number + 0.01 * index,
            "validation_pairs": {"all": 90, "north": 60, "south": 30}.get(site, 0),
            "seconds": 1.5 * (3 * trial + number + 1),
            "bytes_up": 100 * (3 * trial + number + 1),
            "bytes_down": 50 * (3 * trial + number + 1),
            "best": True,
        }
        for trial, rate in enumerate((0.1, 0.001))
        for number in range(3)
        for index, site in enumerate(("all", *run.sites))
    ]


def _costs(run: specs.Run) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for number, party in enumerate(("coordinator", *run.parties)):
        times = len(run.parties) if party == "coordinator" else 1  # it counts what all sites sent
        known = UP[run.strategy if run.strategy in UP else run.preset]
        kinds = {kind: times * value for kind, value in known.items()}
        found[party] = {
            "bytes_up": sum(kinds.values()),
            "bytes_down": times * (1234 + run.seed),
            "flops": 3.5e9,
            "seconds": 6.5 + number,
            "cpu_seconds": 2.25,
            "peak_memory": 310_000_000,
            "parameters": 4129,
            "steps": 120,
            "trials": 2,
            "releases": 90 * times,
            "search_bytes": 600 * times,
            "search_releases": 40 * times,
            **{f"bytes_up.{kind}": value for kind, value in kinds.items()},
        }
    return found


def _statistics(task: str, seed: int) -> dict[str, Any]:
    size = {"name": "size", "n": 200, "missing": 9, "mean": 3.0, "std": 1.0, "quartiles": [2, 3, 4]}
    rate = {"name": "rate", "n": 2400, "missing": 0, "mean": 80.0, "std": 9.0, "quartiles": [70, 80, 90]}
    counts = {"train": 3, "validation": 2, "test": 4}
    return {
        "task": task, "seed": seed, "sites": dict.fromkeys(SITES, counts),
        "numeric": [{**size, "uncounted": 11 + seed}], "series": [{**rate, "uncounted": 0}], "image": [],
        "categorical": [], "suppressed": {"north": 0, "south": 4 + seed, "west": 2},
        "input_shapes": {"table": [1]},
    }  # fmt: skip


def write_prepared(folder: Path, site: str) -> None:
    """Write what a hospital tells of its records."""
    n, events = SIZES[site], int(labels(site).sum())
    test = {"records": n, "patients": n, "events": events}
    roles = {"development": {"records": 3 * n, "patients": 3 * n, "events": 3 * events}, "test": test,
             "auxiliary": test}  # fmt: skip
    if site == "south":  # some role has few patients with the outcome
        roles = {role: {**count, "events": None} for role, count in roles.items()}
    summary = {
        "format": 2, "site": site, "title": f"{site.title()} hospital", "source": "breast_cancer",
        "modalities": ["table", "series"], "features": [{"name": "size", "kind": "numeric"}],
        "records": 5 * n, "patients": 5 * n, "events": 5 * events, "roles": roles,
        "quarantined": {"label outside the set": 2} if site == "south" else {},
        "outside": {"size": 3} if site == "north" else {}, "profile": profile(site),
        "warnings": ["only one class in training"] if site == "west" else [],
        "age_mean": 61.25, "female_share": None if site == "west" else 0.5,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prepared.json").write_text(json.dumps(summary))


def profile(site: str) -> list[dict[str, Any]]:
    """Describe a site's patients: 200 in the north, 150 in the south, 60 in the west."""
    patients, shift = 5 * SIZES[site], SITES.index(site)
    few = site == "south"  # a few lack a size there, and a few have a green grade
    counts = {"red": patients // 2, "blue": patients - patients // 2}
    grades: dict[str, int | None] = {**counts, "blue": None} if few else counts
    if site == "north":
        grades = {"red": 120, "blue": 60, "green": 20}
    both: dict[str, int | None] = {"female": patients // 3, "male": patients - patients // 3}
    return [
        _number("age", patients, 0, 60.0 + shift, 10.0),
        _words("sex", patients, 0, both),
        _number("size", None if few else patients - 6, None if few else 6, 3.0 - shift, 1.5)
        | {"small": ["missing"] if few else []},
        _words("grade", patients, 0, grades),
        _number("flag", patients, 0, None if few else 0.25 + shift / 8, None if few else 0.43),
        _number("rate", patients - 10, 10, 80.0 + 3 * shift, 9.0) | {"kind": "series"},
        *(_number(f"lab{i}", patients, 0, 1.0 + 0.01 * i * shift, 1.0) for i in range(25)),
    ]


def _number(
    name: str, n: int | None, missing: int | None, mean: float | None, std: float | None
) -> dict[str, Any]:
    return {"name": name, "kind": "numeric", "n": n, "missing": missing, "mean": mean, "std": std,
            "levels": {}, "small": []}  # fmt: skip


def _words(name: str, n: int, missing: int, levels: dict[str, int | None]) -> dict[str, Any]:
    return {"name": name, "kind": "categorical", "n": n, "missing": missing, "mean": None, "std": None,
            "levels": levels, "small": []}  # fmt: skip
