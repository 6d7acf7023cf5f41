"""What an auditor makes of updates, of averages and of the seed that everybody knows; and what it shows."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coordinator.algorithms.building import builders_of
from coordinator.attacks.local_round import made_by
from coordinator.config import Model
from coordinator.models.stages import build
from sites.attacked import Attacked
from sites.gallery import show
from sites.leakage import Measure
from sites.membership_attacks import Targets
from sites.peer_attacks import others_model, peer_rows
from sites.reconstruction import reconstruction_rows
from sites.update_attacks import beside, fewest, update_rows
from sites.updates import recorded_update
from tests.federation import a_run
from tests.sites.test_audit import EFFORT, SIZES, attacked


def test_an_update_is_what_the_site_s_own_records_make_of_the_model_that_went_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(tmp_path, monkeypatch, "fedavg", training={"optimizer": "sgd", "momentum": 0.9})
    update = recorded_update(found, 1)
    train = found.hospitals[1].roles["train"]
    made = made_by(update, found.hospitals[1].inputs("train")[:], torch.from_numpy(train.labels))
    for own, seen in zip(made, update.change, strict=True):
        assert torch.allclose(own, seen, atol=1e-6)


def test_updates_and_gradients_of_few_records_are_inverted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = Model(name="mlp", hidden=(64, 32))  # a narrow one's gradient does not tell eight records apart
    found = attacked(tmp_path, monkeypatch, "fedavg", model=wide)
    assert fewest(found.hospitals) == 1
    rows = update_rows(found, EFFORT)
    records = [row for row in rows if row["target"].startswith("table")]
    assert {row["target"] for row in rows if row not in records} == {"labels from an update"}
    assert {(row["attack"], row["target"], row["n"]) for row in records} == {
        (attack, target, n)
        for attack in ("tableak", "inverting_gradients")
        for target, n in (("table from an update", 60), ("table from a gradient of 8", 8))
    }
    gradient = {row["measure"]: row for row in rows if row["n"] == 8 and row["attack"] == "tableak"}
    assert gradient["features_recovered"]["value"] > gradient["features_recovered"]["baseline"] + 0.05
    assert update_rows(attacked(tmp_path / "split", monkeypatch, "split"), EFFORT) == []


def test_images_are_shown_worst_median_and_best_where_that_is_allowed() -> None:
    draws = np.random.default_rng(0)
    truth = {"image": draws.random((5, 1, 6, 6), dtype=np.float32)}
    guess = {"image": truth["image"] + np.arange(5, dtype=np.float32)[:, None, None, None] / 10}
    statistics = {"image": [{"mean": 0.0, "std": 1.0}]}
    for allowed, count in ((False, 0), (True, 3)):
        run = a_run("split", SIZES)
        found = Attacked(run, statistics, [], [], Path(), gallery=allowed)
        show(found, "decoder", guess, truth, truth)
        show(found, "decoder", {"table": truth["image"]}, {"table": truth["image"]}, {})
        assert len(found.pictures) == count
    assert [row["which"] for row in found.pictures] == ["worst", "median", "best"]
    assert found.pictures[0]["psnr"] < found.pictures[1]["psnr"] < found.pictures[2]["psnr"]
    best = Image.open(io.BytesIO(base64.b64decode(found.pictures[2]["original"])))
    assert np.array_equal(np.asarray(best), (255 * truth["image"][0, 0]).round().astype(np.uint8))


def test_a_guess_stands_beside_records_by_chance_in_the_best_order() -> None:
    own = [Measure("mae", 0.5, 0.7, 0.4, 0.6, 9), Measure("psnr", 20.0, 15.0, 19.0, 21.0, 9)]
    chance = [Measure("mae", 0.6, 0.7, 0.4, 0.6, 9), Measure("psnr", 14.0, 15.0, 19.0, 21.0, 9)]
    assert [each.baseline for each in beside(own, chance)] == [0.6, 15.0]


def test_a_site_takes_its_own_update_out_of_the_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(tmp_path, monkeypatch, "fedavg")
    (sent,) = [each for each in found.wire if each.kind == "Weights" and each.position[1:3] == (1, 0)][
        :1
    ]  # what site0 sent; of two sites the rest of the average is just that
    left = others_model(found, "site1").state_dict().values()
    for own, (_, array) in zip(left, sorted(sent.arrays.items()), strict=True):
        assert np.allclose(own.numpy(), array, atol=1e-5)
    rows = peer_rows(found, Targets(found.hospitals[0], None, found.hospitals[1]))
    assert {(row["target"], row["threat_model"]) for row in rows} == {
        ("membership at site0, by site1", "curious_site")
    }
    split = attacked(tmp_path / "split", monkeypatch, "split")
    assert peer_rows(split, Targets(split.hospitals[0], None, split.hospitals[1])) == []


def test_who_knows_the_seed_reads_private_fronts_that_others_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(
        tmp_path, monkeypatch, "split_private", model=Model(name="mlp", hidden=(32, 16)),
        training={"rounds": 4, "optimizer": "adam", "learning_rates": (0.003,)},
    )  # fmt: skip
    errors = {}
    for seed in (found.run.seed, 987):  # the study's, and one of the attacker's own
        drawn = builders_of(found.run, found.cohort.shape)
        monkeypatch.setattr(
            Attacked,
            "first",
            lambda self, which, seed=seed, drawn=drawn: build(drawn, seed, self.names(which)),
        )
        rows = reconstruction_rows(found, EFFORT)
        (errors[seed],) = [
            row["value"] for row in rows if (row["attack"], row["measure"]) == ("pseudo_client", "mae")
        ]
        baseline = rows[1]["baseline"]
    assert errors[found.run.seed] < 0.6 * baseline < 0.8 * errors[987]
