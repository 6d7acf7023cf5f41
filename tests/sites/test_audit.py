"""An auditor attacks what a whole run left: its wire, its models; each arm by what it gives away."""

import json
from pathlib import Path

import numpy as np
import pytest

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.protecting import as_read
from coordinator.attacks.effort import Effort
from coordinator.config import Model
from coordinator.errors import DataError
from coordinator.model_files import write_parts
from coordinator.protocol.keys import COORDINATOR
from coordinator.wire import Recorder, read_wire
from sites.attacked import Attacked, Hospital, activations
from sites.audit import with_chosen_rate
from sites.dependence import dependence_rows
from sites.hijacked import hijacking_rows
from sites.inputs import Inputs
from sites.label_attacks import label_rows
from sites.membership_attacks import Targets, membership_rows, targets_of
from sites.reconstruction import reconstruction_rows, scored_rows
from sites.records import Records
from sites.scene import Scene
from tests.federation import a_run, federate, rows
from tests.test_wire import listened

SIZES = (90, 60)
EFFORT = Effort(
    decoder=100, shadows=4, updates=120, members=2, batches=1, descent=60, pseudo_client=60, hijacking=20,
    records=10,
)  # fmt: skip
ROLES = {"train": SIZES, "validation": (5, 6), "test": (7, 7), "auxiliary": (60, 60)}
STATISTICS = {
    "sites": {f"site{i}": {role: counts[i] for role, counts in ROLES.items()} for i in range(2)},
    "input_shapes": {"table": [6]},
    "numeric": [{"name": f"x{i}", "mean": 0.0, "std": 1.0, "missing": 0} for i in range(6)],
    "categorical": [],
}


def hospital(index: int) -> Hospital:
    """Make a site's records: those that the federation in this process trains on, and auxiliary ones."""
    roles = {}
    for role, counts in ROLES.items():
        found = rows(counts[index], (6,), index, role)
        table, numbers = found.inputs.numpy(), np.arange(counts[index])
        inputs = Inputs({"table": table.__getitem__}, numbers)
        roles[role] = Records(f"site{index}", inputs, found.labels.numpy(), numbers, numbers)
    return Hospital(f"site{index}", roles)


def attacked(folder: Path, monkeypatch: pytest.MonkeyPatch, preset: str, **changes) -> Attacked:
    """Run a strategy in this process while its wire is recorded."""
    cut = ("layer1", "layer2") if preset in ("split_u", "split_private") else ("layer1",)
    run = a_run(preset, SIZES, **{"cut": cut, **changes})
    recorder = Recorder(run.training.rounds - 1, 1)
    shape, train = tuple(STATISTICS["input_shapes"]["table"]), SIZES
    cohort = Cohort(shape, train, ROLES["validation"], ROLES["test"], (0, 0))
    listened(monkeypatch, recorder, as_read(run, cohort, recorder.hear))
    party, outcomes, _ = federate(run, SIZES, guards=folder / "guards")
    for name, held in {COORDINATOR: party, **{site: found[0] for site, found in outcomes.items()}}.items():
        write_parts(held.parts, name, folder / "model")
    recorder.write(folder / "wire")
    wire = read_wire(folder / "wire") if run.algorithm in ("split", "federated") else []
    return Attacked(run, STATISTICS, [hospital(0), hospital(1)], wire, folder / "model")


def values(rows: list[dict], attack: str) -> dict[str, float]:
    return {f"{row['target']} {row['measure']}": row["value"] for row in rows if row["attack"] == attack}


def test_a_shallow_u_shaped_cut_gives_records_and_labels_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(tmp_path, monkeypatch, "split_u")
    rows = reconstruction_rows(found, EFFORT)
    models = {(row["attack"], row["threat_model"]) for row in rows}
    assert models == {
        ("decoder", "collusion"), ("white_box", "collusion"), ("unsplit", "curious_coordinator"),
        ("pseudo_client", "curious_coordinator"),
    }  # fmt: skip
    for attack in ("decoder", "white_box"):
        own = {row["measure"]: row for row in rows if row["attack"] == attack}
        assert own["within_tolerance"]["value"] > own["within_tolerance"]["baseline"] + 0.2
        assert own["mae"]["value"] < 0.6 * own["mae"]["baseline"]
        assert own["mae"]["n"] == (14 if attack == "decoder" else EFFORT.records)
    labels = label_rows(found, EFFORT)
    assert values(labels, "gradient_cosine")["labels from gradients auroc"] > 0.95
    assert set(values(labels, "clustering")) == {
        f"labels from {what} {measure}"
        for what in ("activations", "features")
        for measure in ("auroc", "accuracy")
    }


def test_what_an_arm_does_not_give_away_is_not_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanilla = attacked(tmp_path / "vanilla", monkeypatch, "split")
    assert reconstruction_rows(vanilla, EFFORT)
    assert not label_rows(vanilla, EFFORT)  # they are sent
    private = attacked(tmp_path / "private", monkeypatch, "split_private")
    rows = reconstruction_rows(private, EFFORT)  # nobody else has the front
    assert {row["attack"] for row in rows} == {"unsplit", "pseudo_client"}
    assert {row["n"] for row in label_rows(private, EFFORT)} == {
        SIZES[0]
    }  # the layers of the largest site alone
    averaged = attacked(tmp_path / "averaged", monkeypatch, "splitfed_v1")
    models = {row["threat_model"] for row in reconstruction_rows(averaged, EFFORT)}
    assert models == {"curious_coordinator"}


@pytest.mark.parametrize("preset", ["fedavg", "local", "split"])
def test_membership_is_tried_on_every_arms_whole_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    found = attacked(tmp_path, monkeypatch, preset)
    tried = membership_rows(found, targets_of(found.run, STATISTICS, found.hospitals, EFFORT))
    asked = [row for row in tried if row["threat_model"] == "outsider"]
    assert [(row["attack"], row["measure"]) for row in asked] == [
        (attack, measure)
        for attack in ("loss_threshold", "lira_offline", "shadow")
        for measure in ("auroc", "tpr_at_fpr_0.14")
    ]
    assert {row["target"] for row in asked} == {"membership at site0"}
    peers = {row["target"] for row in tried if row["threat_model"] == "curious_site"}
    assert peers == (set() if preset == "local" else {"membership at site0, by site1"})


def test_a_trial_out_of_patience_is_attacked_in_its_last_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hopeless = {"rounds": 9, "patience": 1, "learning_rates": (30.0,), "optimizer": "sgd"}
    found = attacked(tmp_path, monkeypatch, "split_u", training=hopeless)
    assert max(heard.position[1] for heard in found.wire) < 8
    assert {row["n"] for row in label_rows(found, EFFORT)} == {sum(SIZES)}


def test_a_site_whose_own_layers_never_trained_has_no_model_to_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(tmp_path, monkeypatch, "multi_head", join={"site0": 2})
    assert membership_rows(found, Targets(found.hospitals[0], None)) == []
    assert membership_rows(found, Targets(found.hospitals[1], None))


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"precision": "bf16_mixed", "class_weights": "balanced"}},
        {"model": Model(name="module", path="tests.own_networks:Nested"), "cut": ("inner.first",)},
    ],
)
def test_the_front_an_attacker_has_is_the_one_that_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict
) -> None:
    found = attacked(tmp_path, monkeypatch, "split", **changes)
    test = found.hospitals[1].inputs("test")
    assert np.array_equal(activations(found.front("site0"), test), found.scored(1))


def test_shadow_models_are_trained_at_the_rate_that_was_chosen(tmp_path: Path) -> None:
    run = a_run("fedavg", SIZES, training={"learning_rates": (0.1, 0.01, 3.0)})
    history = tmp_path / "runs" / run.task / run.strategy / str(run.seed) / "history.jsonl"
    history.parent.mkdir(parents=True)
    rows = [(0.1, True), (0.1, True), (0.01, True), (0.01, False), (3.0, False)]
    lines = [json.dumps({"learning_rate": rate, "best": best}) for rate, best in rows]
    history.write_text("\n".join(lines))
    found = with_chosen_rate(run, tmp_path)
    assert found.training.learning_rates == (0.01,)
    assert found.model_copy(update={"training": run.training}) == run
    history.write_text("")
    with pytest.raises(DataError, match="not a run's history"):
        with_chosen_rate(run, tmp_path)


def test_too_few_auxiliary_records_teach_no_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = attacked(tmp_path, monkeypatch, "split")
    for each in found.hospitals:
        few = each.roles["auxiliary"]
        numbers = np.arange(4)
        inputs = Inputs({"table": few.inputs.arrays(numbers)["table"].__getitem__}, numbers)
        each.roles["auxiliary"] = Records(few.site, inputs, few.labels[:4], numbers, numbers)
    assert reconstruction_rows(found, EFFORT) == []
    assert hijacking_rows(found, EFFORT) == []
    tried = membership_rows(found, targets_of(found.run, STATISTICS, found.hospitals, EFFORT))
    by = {(row["attack"], row["threat_model"]) for row in tried}
    assert {attack for attack, who in by if who == "outsider"} == {"loss_threshold"}
    assert ("lira_offline", "curious_site") in by  # it has records of its own


def test_a_front_is_hijacked_at_its_cut_and_activations_depend_on_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(tmp_path, monkeypatch, "split_private")
    rows = hijacking_rows(found, EFFORT)
    assert {row["attack"] for row in rows} == {"frozen_front", "hijacking"}
    assert {row["threat_model"] for row in rows} == {"malicious_coordinator"}
    frozen = {row["measure"]: row for row in rows if row["attack"] == "frozen_front"}
    assert frozen["mae"]["value"] < 0.6 * frozen["mae"]["baseline"]
    (measured,) = dependence_rows(found)
    assert measured["baseline"] < measured["ci_low"] < measured["value"] <= 1


@pytest.mark.parametrize(("norm", "target"), [("group", "image behind group norm"), ("batch", "image")])
def test_images_say_whether_group_norm_stands_before_the_cut(tmp_path: Path, norm: str, target: str) -> None:
    model = Model(name="resnet18", width=8, stem="3x3", norm=norm)
    run = a_run("split", SIZES, model=model, cut=("act",))
    statistics = {**STATISTICS, "input_shapes": {"image": [1, 8, 8]}, "image": [{"mean": 0.5, "std": 0.25}]}
    found = Attacked(run, statistics, [], [], tmp_path)
    images = {"image": np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)}
    scene = Scene(images["image"], images, np.zeros(4, dtype=np.int64), images, ())
    assert {row["target"] for row in scored_rows(found, scene, images, "decoder", "collusion")} == {target}
