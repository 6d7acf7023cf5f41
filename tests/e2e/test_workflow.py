"""Whole runs: a study builds its report, and only what changed is run again."""

import csv
import fcntl
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.checkout import append, copy_checkout, make_run, planned, snakemake, start

pytestmark = pytest.mark.timeout(900)  # a hang, not slowness: the first test runs a whole study
STUDY = "config/studies/ci.yaml"
CI = ("--configfile", STUDY)
STRATEGIES = ("centralized", "local", "fedavg", "split", "split_u")
AFTER = ("evaluate", "report", "paper", "all")  # what follows when a run was made anew
TABLES = {
    "comparison.csv": "task,strategy,seed,site,metric,value,ci_low,ci_high,n",
    "differences.csv": "task,strategy,reference,metric,difference,ci_low,ci_high,margin,verdict",
    "costs.csv": "task,strategy,seed,party,measure,value,unit",
    "privacy.csv": "task,strategy,seed,attack,target,measure,value,baseline,ci_low,ci_high,n,threat_model",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the ci study once, in a copy of the checkout; no test may change it."""
    folder = copy_checkout(tmp_path_factory.mktemp("finished"))
    snakemake(folder, *CI)
    return folder


@pytest.fixture
def checkout(finished: Path, tmp_path: Path) -> Path:
    """Copy the finished checkout, results and Snakemake's records included, for a test to edit."""
    shutil.copytree(finished, tmp_path / "checkout", symlinks=True)
    return tmp_path / "checkout"


def runs(*strategies: str, tasks: tuple[str, ...] = ("breast_cancer", "pneumonia")) -> set[str]:
    return {f"train {task}/{strategy}/0" for task in tasks for strategy in strategies}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_ends_in_a_report(finished: Path) -> None:
    results = finished / "results" / "ci"
    text = (results / "report.html").read_text(encoding="utf-8")
    assert "</html>" in text
    for name, header in TABLES.items():
        assert (results / name).read_text(encoding="utf-8").splitlines()[0] == header
    found = {(row["task"], row["strategy"]) for row in rows(results / "comparison.csv")}
    assert found == {(task, label) for task in ("breast_cancer", "pneumonia") for label in STRATEGIES}
    for run in runs(*STRATEGIES):
        folder = results / "runs" / run.removeprefix("train ")
        assert re.fullmatch(r"[0-9a-f]{64}.*\n?", (folder / "weights.sha256").read_text().splitlines()[0])


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    assert "Nothing to be done" in snakemake(finished, *CI)


def test_make_run_ends_with_the_path_of_the_report(checkout: Path) -> None:
    last = make_run(checkout, STUDY).splitlines()[-1]
    assert last == f"report: {checkout}/results/ci/report.html"
    assert "'tasks' is missing" in make_run(checkout, "config/sites/north.yaml", status=2)


def test_make_run_goes_on_after_a_killed_snakemake(checkout: Path) -> None:
    killed = start(checkout, sys.executable, "-m", "snakemake", *CI, "--config", "bootstrap=300")
    locks = checkout / ".snakemake" / "locks"
    while not list(locks.glob("*")):
        assert killed.poll() is None, killed.communicate()[0]
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    assert list(locks.glob("*")), "the kill left no lock behind, so this test shows nothing"
    assert "report: " in make_run(checkout, STUDY)


def test_two_runs_do_not_share_a_folder(checkout: Path) -> None:
    with (checkout / ".snakemake" / "suture.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another run is at work" in make_run(checkout, STUDY, status=1)
        bare = start(checkout, sys.executable, "-m", "snakemake", *CI, "--config", "bootstrap=300")
        text, _ = bare.communicate()
        assert bare.returncode == 1
        assert "another run is at work" in text


def test_a_moved_checkout_has_nothing_to_do(checkout: Path) -> None:
    assert planned(checkout, *CI) == set()


def test_a_hyperparameter_reruns_its_strategy_alone(checkout: Path) -> None:
    path = checkout / "config" / "studies" / "ci.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  fedavg: {}", "  fedavg: {training: {rounds: 4}}"), encoding="utf-8")
    assert planned(checkout, *CI) == {*runs("fedavg"), *AFTER}


def test_a_label_of_the_report_reruns_no_training(checkout: Path) -> None:
    assert planned(checkout, *CI, "--config", "title=Another") == set(AFTER)


SOURCES = {
    "coordinator/algorithms/federated.py": {*runs("fedavg"), *AFTER},
    "coordinator/models/imaging.py": {*runs(*STRATEGIES, tasks=("pneumonia",)), *AFTER},
    "coordinator/comparison/curves.py": set(AFTER),
    "workflow/scripts/report.py": {"report", "paper", "all"},
    "workflow/lint.py": set(),
}


@pytest.mark.parametrize("source", SOURCES)
def test_an_edited_source_reruns_what_used_it_and_nothing_else(checkout: Path, source: str) -> None:
    append(checkout / source, "# edited\n")
    assert planned(checkout, *CI) == SOURCES[source]


def test_an_edited_loader_reruns_its_task_alone(checkout: Path) -> None:
    append(checkout / "sites" / "datasets" / "breast_cancer.py", "# edited\n")
    jobs = planned(checkout, *CI)
    assert runs(*STRATEGIES, tasks=("breast_cancer",)) <= jobs
    assert not [job for job in jobs if "pneumonia" in job]


def test_a_touched_source_reruns_nothing(checkout: Path) -> None:
    (checkout / "coordinator" / "algorithms" / "federated.py").touch()
    assert planned(checkout, *CI) == set()


def test_another_study_holds_its_own_tasks_and_strategies_and_shares_prepared_data(checkout: Path) -> None:
    text = (checkout / "config" / "studies" / "ci.yaml").read_text(encoding="utf-8")
    tasks, second, strategies = text.index("tasks:"), text.index("  pneumonia:"), text.index("strategies:")
    other = checkout / "config" / "studies" / "other.yaml"
    other.write_text(
        text[:tasks].replace("name: ci", "name: other")
        + text[tasks:second]
        + "strategies:\n  centralized: {}\n",
        encoding="utf-8",
    )
    assert strategies > second
    jobs = planned(checkout, "--configfile", str(other))
    assert jobs == {
        "agree breast_cancer/0", *runs("centralized", tasks=("breast_cancer",)), *AFTER,
    }  # fmt: skip


def test_the_default_study_needs_no_argument(checkout: Path) -> None:
    jobs = planned(checkout)
    assert {job for job in jobs if job.startswith("train")} == {
        f"train {task}/{strategy}/{seed}"
        for task in ("breast_cancer", "pneumonia")
        for strategy in STRATEGIES
        for seed in (0, 1)
    }


def test_the_same_seed_gives_the_same_weights_also_from_another_directory(
    finished: Path, tmp_path: Path
) -> None:
    names = [f"results/ci/runs/breast_cancer/{label}/0/weights.sha256" for label in ("fedavg", "split")]
    study = str(finished / "config" / "studies" / "ci.yaml")
    elsewhere = ("--snakefile", str(finished / "Snakefile"), "--cores", "2", "--directory", str(tmp_path))
    snakemake(tmp_path, *names, *elsewhere, "--configfile", study)
    for name in names:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
