"""Split against federated by what attacks found: floors are compared, and nothing unvalidated says "less"."""

from types import SimpleNamespace

import pytest

from coordinator.attacks.catalog import ATTACKS, GROUP_NORM, NOT_VALIDATED, is_validated
from coordinator.comparison.private import ALSO, ASSETS, plain, private_rows, strongest, verdict

SPEC = SimpleNamespace(
    study=SimpleNamespace(tasks={"t": None}),
    runs={
        name: SimpleNamespace(task="t", seed=0, strategy=name, algorithm=algorithm)
        for name, algorithm in {"split": "split", "fedavg": "federated", "local": "local"}.items()
    },
)


def row(strategy: str, attack: str, target: str, value: float, **changes) -> dict:
    measure = next((measure for begins, measure in ASSETS.values() if target.startswith(begins)), "")
    return {
        "task": "t", "strategy": strategy, "seed": "0", "attack": attack, "target": target,
        "measure": measure, "value": str(value), "baseline": "0.2", "ci_low": str(value - 0.05),
        "ci_high": str(value + 0.05), "n": "9", "threat_model": "curious_coordinator", **changes,
    }  # fmt: skip


def test_the_clearest_finding_of_each_side_is_compared_beyond_its_trivial_guess() -> None:
    rows = [
        row("split", "unsplit", "table", 0.3),
        row("split", "decoder", "table", 0.8, threat_model="collusion"),
        row("fedavg", "tableak", "table from an update", 0.5, baseline="0.48"),
        row("fedavg", "tableak", "table from a gradient of 8", 0.99),  # no arm sends that
        row("split", "decoder", "table", 0.9, seed="1"),
        row("local", "decoder", "table", 0.9),
    ]
    one, other = private_rows(SPEC, rows)
    assert [each["threat_model"] for each in (one, other)] == ["curious_coordinator", "collusion"]
    assert (one["attack"], one["value"], one["reference_value"]) == ("unsplit", 0.3, 0.5)
    assert one["verdict"] == "unshown"  # 0.05 to 0.15 beyond, against -0.03 to 0.07
    assert (other["attack"], other["verdict"]) == ("decoder", "found_more")
    assert private_rows(SimpleNamespace(study=SPEC.study, runs={}), rows) == []


def test_less_is_said_only_where_a_validated_attack_was_tried() -> None:
    fedavg = row("fedavg", "inverting_gradients", "labels from an update", 0.9)
    for attack, expected in {"clustering": "unshown", "gradient_cosine": "less"}.items():
        split = row("split", attack, "labels from gradients", 0.3)
        (found,) = private_rows(SPEC, [split, fedavg])
        assert found["verdict"] == expected


def test_an_attack_that_is_not_validated_or_knew_no_defence_never_says_less() -> None:
    fedavg = row("fedavg", "inverting_gradients", "labels from an update", 0.95)
    validated = [name for name in ATTACKS if is_validated(name, "labels from gradients")]
    assert validated
    for attack in ATTACKS:
        for known in ("", ", knowing marvell", ", knowing no defence"):
            split = row("split", attack, f"labels from gradients{known}", 0.21)
            (found,) = private_rows(SPEC, [split, fedavg])
            may = attack in validated and known != ", knowing no defence"
            assert (found["verdict"] == "less") == may, (attack, known)


def test_more_is_said_of_what_a_validated_attack_could_have_found() -> None:
    own = strongest([row("split", "sent", "labels", 0.9)], "split", "labels", "curious_coordinator")
    other = strongest([row("fedavg", "sent", "labels", 0.3)], "fedavg", "labels", "curious_coordinator")
    assert own
    assert other
    assert verdict(own, other) == "more"
    assert verdict(own, other._replace(validated=False)) == "found_more"
    assert verdict(other, own) == "less"
    assert verdict(own, own) == "unshown"


def test_that_a_guess_is_good_at_the_other_arm_is_no_leak_of_this_one() -> None:
    split, fedavg = (
        strongest([row(name, "decoder", "table", value, baseline=base, measure="auroc_sex")], name, "sex",
                  "curious_coordinator")
        for name, value, base in (("split", 0.95, "0.5"), ("fedavg", 0.96, "0.9"))
    )  # fmt: skip
    assert split
    assert fedavg
    assert verdict(split, fedavg) == verdict(fedavg, split) == "unshown"
    assert verdict(split, fedavg._replace(value=0.9)) == "found_more"


def test_labels_that_are_sent_are_known() -> None:
    sent = [
        {"attack": "sent", "target": target, "value": value, "strategy": "split", "n": 1}
        for target, value in (("labels", 1.0), ("labels", 0), ("activations", 99))
    ]
    (known,) = plain(sent)
    assert (known["target"], known["measure"], known["value"]) == ("labels", "auroc", 1.0)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_validation_says_what_it_is_of(name: str) -> None:
    attack = ATTACKS[name]
    none = attack.validation == NOT_VALIDATED or name == "distance_correlation"
    assert none == (not attack.holds_for)
    assert not is_validated(name, "another target") or name == "sent"


@pytest.mark.parametrize("name", ["decoder", "white_box"])
def test_inversions_are_validated_on_images_but_for_group_norm(name: str) -> None:
    assert is_validated(name, "image")
    assert is_validated(name, "image, knowing int8")
    for other in (f"image {GROUP_NORM}", f"image {GROUP_NORM}, knowing int8", "table", "series"):
        assert not is_validated(name, other)


def test_whoever_may_do_more_may_do_what_weaker_attackers_do() -> None:
    assert all(model in ALSO[model] for model in ALSO)
    assert "curious_coordinator" in ALSO["collusion"]
    assert "curious_coordinator" not in ALSO["outsider"]
