"""Records of three classes, prepared, told of and predicted."""

import numpy as np
import pandas as pd
import pytest
import torch

from coordinator.comparison.predictions import read_site
from coordinator.config import Columns, Data, Split
from coordinator.errors import DataError
from sites import prepared
from sites.aggregates import aggregate
from sites.predictions import probabilities, write_predictions
from sites.prepare import prepare
from sites.records import load
from sites.split import ROLES, assign_roles, validation_rows

CLASSES = ("nv", "mel", "bcc")
COLUMNS = Columns(patient="lesion", label="dx", classes=CLASSES, numeric=("size",))
COUNTS = {"nv": 60, "mel": 30, "bcc": 3}


@pytest.fixture
def spec(preparation):
    return preparation("table", data=Data(source="table", columns=COLUMNS, modalities=("table",)))


@pytest.fixture
def folder(tmp_path, spec):
    words = [word for word, count in COUNTS.items() for _ in range(count)]
    table = pd.DataFrame({"lesion": range(len(words)), "dx": words, "size": np.arange(len(words)) / 7})
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "table.csv", index=False)
    ready, rejected = prepare(spec, tmp_path / "table.csv")
    assert not rejected
    prepared.write(tmp_path / "ready", ready, rejected)
    return tmp_path / "ready"


def test_every_role_has_its_share_of_each_class(folder):
    frame = prepared.read(folder).frame
    found = {role: np.bincount(frame["label"][frame["role"] == role], minlength=3).tolist() for role in ROLES}
    assert found["test"] == [12, 6, 1]
    assert found["auxiliary"] == [6, 3, 0]
    own = frame["role"] == "development"
    held_out = validation_rows(
        frame["patient"][own].to_numpy(), frame["label"][own].to_numpy(), 0.15, 0, "north"
    )
    assert np.bincount(frame["label"][own][held_out], minlength=3).tolist() == [6, 3, 0]


def test_a_patient_counts_under_the_last_of_their_classes():
    patients, labels = np.repeat(np.arange(30), 2), np.tile([0, 2], 30)
    roles = assign_roles(patients, labels, Split(), 0, "north")
    assert (roles[::2] == roles[1::2]).all()
    assert (roles[::2] == "test").sum() == 6


def test_the_cohort_table_counts_classes_but_for_a_few(folder):
    summary = prepared.read(folder).summary
    assert summary.classes == CLASSES
    assert summary.events is None
    assert {count.events for count in summary.roles.values()} == {None}
    outcome = summary.profile[0]
    # the rarest of the others is hidden too, as the whole is known
    assert (outcome.name, outcome.levels) == ("dx", {"mel": None, "nv": 60})
    assert aggregate(folder, 0, 0.15, 5).counts.keys() == {"train", "validation", "test", "auxiliary"}


def test_a_probability_of_each_class_is_written_and_read(folder, tmp_path):
    statistics = {
        "numeric": [{"name": "size", "mean": 0.0, "std": 1.0, "missing": 0}],
        "categorical": [], "series": [], "image": [], "input_shapes": {"table": [1]},
    }  # fmt: skip
    test = load(folder, statistics, 0, 0.15, "impute")["test"]
    assert test.labels.dtype == np.float32
    logits = torch.randn(len(test.labels), 3)
    write_predictions(test, logits, tmp_path / "north.parquet", classes=CLASSES)
    assert pd.read_parquet(tmp_path / "north.parquet").columns.tolist() == [
        "record", "patient", "label", "score_nv", "score_mel", "score_bcc",
    ]  # fmt: skip
    found = read_site(tmp_path / "north.parquet", CLASSES)
    assert found["score"] == pytest.approx(logits.double().softmax(1).numpy(), abs=0)
    assert found["label"].tolist() == test.labels.tolist()
    with pytest.raises(DataError, match="column 'score' is missing"):
        read_site(tmp_path / "north.parquet")
    frame = pd.read_parquet(tmp_path / "north.parquet")
    frame.assign(score_nv=0.9).to_parquet(tmp_path / "north.parquet")
    with pytest.raises(DataError, match="do not add up to 1"):
        read_site(tmp_path / "north.parquet", CLASSES)
    frame.assign(label=3).to_parquet(tmp_path / "north.parquet")
    with pytest.raises(DataError, match="label 3; expected 0 to 2"):
        read_site(tmp_path / "north.parquet", CLASSES)


def test_one_output_is_the_probability_of_the_outcome():
    logits = torch.randn(5, 1)
    assert probabilities(logits).tolist() == logits[:, 0].double().sigmoid().tolist()
