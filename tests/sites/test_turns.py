"""What a curious site learns of the site before it, from the parts that it is handed."""

from pathlib import Path

import pytest
import torch

from coordinator.algorithms import handing_on
from coordinator.config import Model, Privacy
from sites import turns
from sites.attacked import Attacked, Hospital
from sites.inputs import Inputs
from sites.records import Records
from sites.turn_attacks import turn_rows
from sites.turns import first_turn
from tests.federation import a_run
from tests.federation import rows as rows_of
from tests.sites.test_audit import EFFORT, SIZES, STATISTICS, attacked, hospital

ONE_STEP = {"turn": "batch", "training": {"rounds": 1, "batch_size": 8, "optimizer": "sgd"}}
WIDE = Model(name="mlp", hidden=(64, 32))  # a narrow one's change does not tell eight records apart


def unrun(preset: str, **changes) -> Attacked:
    """Give what an auditor knows of a run without its wire or models: the turn is walked again."""
    first = hospital(0)
    roles = {**first.roles, "test": first.roles["auxiliary"]}  # more of them
    run = a_run(preset, SIZES, model=WIDE, **changes)
    return Attacked(run, STATISTICS, [Hospital(first.site, roles), hospital(1)], [], Path())


@pytest.mark.parametrize("preset", ["cyclic", "split", "split_u"])
def test_a_turn_walked_again_is_what_was_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    taken, plain = [], handing_on.unpack

    def unpack(party, tensors, *, optimizer):
        taken.append((party.index, tensors))
        plain(party, tensors, optimizer=optimizer)

    monkeypatch.setattr(handing_on, "unpack", unpack)
    found = attacked(tmp_path, monkeypatch, preset, training={"optimizer": "adam"})
    turn = first_turn(found)
    index, tensors = taken[0]
    assert (turn.giver.site, turn.taker, index) == ("site0", "site1", 1)
    assert len(turn.records) == SIZES[0]
    began = dict(found.first().named_parameters())
    handed = {
        name.partition("/")[2]: value for name, value in tensors.items() if not name.startswith("optimizer/")
    }
    assert set(handed) == set(turn.update.names)
    for name, change in zip(turn.update.names, turn.update.change, strict=True):
        assert torch.equal(handed[name] - began[name], change)


def by(rows: list[dict], attack: str, measure: str) -> dict:
    (found,) = [row for row in rows if (row["attack"], row["measure"]) == (attack, measure)]
    return found


@pytest.mark.parametrize("preset", ["cyclic", "split"])
def test_one_step_on_few_records_gives_them_away(preset: str) -> None:
    found = unrun(preset, **ONE_STEP)
    rows = turn_rows(found, EFFORT)
    assert {(row["target"], row["threat_model"]) for row in rows} == {
        (f"{what} a turn of site0, by site1", "curious_site")
        for what in ("table from", "labels from", "membership in")
    }
    assert by(rows, "update_cosine", "auroc")["ci_low"] > 0.55
    assert by(rows, "inverting_gradients", "auroc")["value"] > 0.8  # labels
    if preset == "cyclic":  # of a front alone the least effort finds no records
        table, error = (by(rows, "inverting_gradients", each) for each in ("features_recovered", "mae"))
        assert table["ci_low"] > table["baseline"] + 0.1
        assert error["ci_high"] < error["baseline"]


def test_what_other_records_changed_tells_nothing_of_these(monkeypatch: pytest.MonkeyPatch) -> None:
    walk, other = turns.change_of, drawn_anew(hospital(0))
    monkeypatch.setattr(turns, "change_of", lambda found, giver, batches: walk(found, other, batches))
    rows = turn_rows(unrun("cyclic", **ONE_STEP), EFFORT)
    member = by(rows, "update_cosine", "auroc")
    assert member["ci_low"] < 0.5 < member["ci_high"]
    error = by(rows, "inverting_gradients", "mae")
    assert error["ci_high"] > error["baseline"]


def drawn_anew(like: Hospital) -> Hospital:
    """Give a site with as many training records, none of them the same."""
    own, other = like.roles["train"], rows_of(len(like.roles["train"].labels), (6,), "other")
    inputs = Inputs({"table": other.inputs.numpy().__getitem__}, own.inputs.rows)
    train = Records(own.site, inputs, other.labels.numpy(), own.inputs.rows, own.inputs.rows)
    return Hospital(like.site, {**like.roles, "train": train})


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("split_private", {}),
        ("splitfed_v1", {}),
        ("fedavg", {}),
        ("split", {"privacy": Privacy(dropout=0.5)}),
    ],
)
def test_where_nothing_is_handed_on_so_nothing_is_attacked(preset: str, changes: dict) -> None:
    cut = {"cut": ("layer1", "layer2")} if preset == "split_private" else {}
    assert turn_rows(unrun(preset, **cut, **changes), EFFORT) == []
