"""What a run passed over, where rounds were left out, and sites sat out, and what a target cost it."""

import json
from pathlib import Path

import pytest

from coordinator.comparison.targets import records_shown
from tests.federation import a_run
from tests.synthetic_results import write_study
from tests.test_comparison import evaluate, one, table

TRAIN = [60, 25]
WALKED = ((0, 0), (0, 1), (1, 0))  # of two trials of ten rounds


def history(*left_out):
    """Write a row for all and one for each site after each round, but for (site, trial, round) left out."""
    return [
        {"trial": trial, "round": round_, "site": site}
        for trial, round_ in WALKED
        for site in ("all", "site0", "site1")
        if (site, trial, round_) not in left_out
    ]


@pytest.mark.parametrize(
    ("preset", "changes", "shown"),
    [
        ("fedavg", {}, 3 * 85),
        ("fedavg", {"training": {"local_epochs": 2, "epochs_by_site": {"site1": 4}}}, 3 * (2 * 60 + 4 * 25)),
        ("split", {"join": {"site1": 1}}, 3 * 60 + 25),
        ("centralized", {"training": {"local_epochs": 2}}, 3 * 2 * 85),
        ("centralized", {"batches": "by_site", "leave": {"site0": 1}}, 2 * 60 + 3 * 25),
    ],
)
def test_only_what_was_walked_was_shown(preset, changes, shown):
    fixed = {"rounds": 10, "patience": 1, "learning_rates": (0.1, 0.01)}
    run = a_run(preset, TRAIN, **{**changes, "training": fixed | changes.get("training", {})})
    assert records_shown(run, TRAIN, history()) == shown


def test_sites_that_train_alone_walk_their_own_rounds():
    run = a_run("local", TRAIN)
    assert records_shown(run, TRAIN, history(("site1", 0, 1))) == 3 * 60 + 2 * 25


def test_a_target_takes_its_share_of_the_rounds_that_were_walked(tmp_path: Path) -> None:
    spec, results = write_study(tmp_path, bootstrap=100)
    path = results / "runs/tumour/fedavg/0/history.jsonl"
    kept = [line for line in path.read_text().splitlines() if json.loads(line)["trial"] == 1]
    path.write_text("\n".join(kept) + "\n")
    assert evaluate(spec, results) == 0
    rows = table(results, "figures/target.csv")
    whole = 4 * 3.5e9  # of the coordinator and three sites
    for seed, walked in (("0", 3), ("1", 6)):
        found = one(rows, strategy="fedavg", seed=seed)
        assert found["rounds"] == "3"
        assert float(found["flops"]) == pytest.approx(whole * 3 / walked)
