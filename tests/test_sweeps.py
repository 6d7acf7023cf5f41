"""What a study varies alone is found, and its cost stands against it."""

import json

import pytest

from coordinator.comparison.sweeps import sweep_rows
from coordinator.config import Study
from coordinator.runs import runs_of
from coordinator.specs import Evaluation
from tests.synthetic_results import study

TASK = json.loads(study().tasks["tumour"].model_dump_json())


def planned(tasks, strategies):
    values = {**json.loads(study().model_dump_json()), "tasks": tasks, "strategies": strategies}
    found = Study.model_validate_json(json.dumps(values))
    folders = {name: {site: f"prepared/{site}" for site in task.sites} for name, task in found.tasks.items()}
    return Evaluation(study=found, sites={}, runs=runs_of(found, folders), identical={})


def paid_of(spec, flops):
    """Let each site of a run pay 1,000 bytes up and 500 down, and as many operations as given by strategy."""
    site = {"bytes_up": 1000.0, "bytes_down": 500.0}
    return {
        key: {
            "coordinator": {"seconds": 2.0 + run.seed, "flops": 7e9},
            **{party: {**site, "flops": flops.get(run.strategy, 0.0)} for party in run.parties},
        }
        for key, run in spec.runs.items()
    }


def test_cuts_stand_from_shallow_to_deep_and_other_settings_keep_families_apart():
    strategies = {
        "centralized": {}, "fedavg": {}, "split": {"cut": "layer2"},
        "split_early": {"preset": "split", "cut": "layer1"},
        "split_slow": {"preset": "split", "cut": "layer1", "training": {"rounds": 5}},
    }  # fmt: skip
    spec = planned({"tumour": TASK}, strategies)
    rows = sweep_rows(spec, paid_of(spec, {"split": 30.0, "split_early": 10.0, "split_slow": 10.0}))
    found = [(row["kind"], row["family"], row["strategy"], row["label"], row["place"]) for row in rows]
    assert found == [("cut", "split", "split_early", "layer1", 0), ("cut", "split", "split", "layer2", 1)]
    assert [row["bytes"] for row in rows] == [1500.0] * 2
    assert [row["flops"] for row in rows] == [10.0, 30.0]
    assert [row["seconds"] for row in rows] == [2.5] * 2  # mean over two seeds


def test_tasks_that_differ_in_their_sites_alone_are_a_sweep():
    three = {**TASK, "title": "the same, more sites"}
    two, other = {**TASK, "sites": TASK["sites"][:2]}, {**two_of(TASK), "margin": 0.1}
    spec = planned({"three": three, "two": two, "other": other}, {"centralized": {}, "split": {}})
    rows = sweep_rows(spec, paid_of(spec, {"split": 30.0}))
    split = [row for row in rows if row["family"] == "split"]
    assert [(row["task"], row["of"], row["label"]) for row in split] == [
        ("three", "two", "2"),
        ("three", "three", "3"),
    ]
    assert {row["family"] for row in rows} == {"split"}
    assert {row["bytes"] for row in rows} == {1500.0}


def two_of(task):
    return {**task, "sites": task["sites"][:2]}


@pytest.mark.parametrize("strategies", [{"centralized": {}, "split": {}}, {"centralized": {}, "fedavg": {}}])
def test_where_nothing_is_varied_there_is_no_sweep(strategies):
    spec = planned({"tumour": TASK}, strategies)
    assert sweep_rows(spec, paid_of(spec, {})) == []
