"""What is found, AUROC and bytes side by side; an arm that another beats in all is not on the frontier."""

from types import SimpleNamespace

from coordinator.comparison.frontier import frontier_rows
from tests.test_private import row

NAMES = {"split": "split", "split_noise": "split", "fedavg": "federated", "worse": "split"}
SPEC = SimpleNamespace(
    study=SimpleNamespace(tasks={"t": None}, reference="fedavg"),
    runs={
        name: SimpleNamespace(task="t", seed=0, strategy=name, algorithm=algorithm, parties=("a", "b"))
        for name, algorithm in NAMES.items()
    },
)
PAID = {
    name: {each: {"bytes_up": size, "bytes_down": 1.0, "flops": 7.0} for each in ("a", "b", "coordinator")}
    for name, size in {"split": 9.0, "split_noise": 9.0, "fedavg": 1.0, "worse": 20.0}.items()
}


def difference(strategy: str, value: float) -> dict:
    return {"task": "t", "strategy": strategy, "reference": "fedavg", "metric": "auroc",
            "difference": value, "ci_low": value - 0.01, "ci_high": value + 0.01}  # fmt: skip


def test_the_strongest_attack_stands_beside_utility_and_cost() -> None:
    attacks = [
        row("split", "decoder", "table", 0.8),
        row("split_noise", "decoder", "table, knowing gaussian noise", 0.3),
        row("split_noise", "unsplit", "table, knowing gaussian noise", 0.25),
        row("fedavg", "tableak", "table from an update", 0.5),
        row("fedavg", "tableak", "table from a gradient of 8", 0.99),  # no arm sends that
        row("worse", "decoder", "table", 0.9),
    ]
    differences = [difference("split", 0.01), difference("split_noise", -0.1), difference("worse", 0.0)]
    found = {each["strategy"]: each for each in frontier_rows(SPEC, attacks, differences, PAID)}
    assert {name: round(each["beyond"], 6) for name, each in found.items()} == {
        "split": 0.6, "split_noise": 0.1, "fedavg": 0.3, "worse": 0.7,
    }  # fmt: skip
    assert found["split_noise"]["knowing"] == "gaussian noise"
    assert found["fedavg"]["difference"] == 0.0
    assert found["split"]["bytes"] == 20.0
    assert {name for name, each in found.items() if each["on_frontier"]} == {"split", "split_noise", "fedavg"}


def test_an_arm_without_an_auroc_is_told_and_beats_none() -> None:
    attacks = [row("split", "decoder", "table", 0.3), row("fedavg", "tableak", "table from an update", 0.5)]
    found = {each["strategy"]: each for each in frontier_rows(SPEC, attacks, [], PAID)}
    assert found["split"]["difference"] is None
    assert found["fedavg"]["on_frontier"]
