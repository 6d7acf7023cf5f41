"""The synthetic network: what is dealt and read is one patient's, shifts by site, and names nobody."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from coordinator.config import Data, Partition, Site
from coordinator.errors import DataError
from coordinator.specs import Deal
from coordinator.statistics import merge
from sites import prepared
from sites.aggregates import aggregate
from sites.datasets import network
from sites.datasets.network_codes import LABS, VITALS
from sites.datasets.network_patients import OPACITY, stays
from sites.inputs import normalised
from sites.prepare import prepare
from sites.records import load

ALL = ("table", "series", "image")
SHARE, SEED, CELL = 0.15, 4, 5
SITES = ("north", "south", "east")
STAYS = 120


@pytest.fixture(scope="module")
def dealt(tmp_path_factory, deal_spec):
    folder = tmp_path_factory.mktemp("network")
    network.deal(deal_spec("network", records=STAYS), folder)
    return folder


@pytest.fixture(scope="module")
def folders(dealt, tmp_path_factory, deal_spec, preparation):
    """Prepare all three hospitals with everything."""
    found = {}
    for site in deal_spec("network").sites:
        found[site.name] = tmp_path_factory.mktemp("prepared") / site.name
        spec = preparation("network", site=site, **everything())
        prepared.write(found[site.name], *prepare(spec, dealt / site.name))
    return found


@pytest.fixture
def south(dealt, tmp_path):
    return Path(shutil.copytree(dealt / "south", tmp_path / "south"))


def everything(of=ALL, **changes):
    return {"data": Data(source="network", pixels=16, modalities=of, **changes), "modalities": of}


def hashes(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def agree(folders):
    parts = {site: aggregate(folder, SEED, SHARE, CELL) for site, folder in folders.items()}
    return json.loads(json.dumps(merge("task", SEED, parts)))


def table(folder, name):
    return pd.read_csv(folder / name, dtype=str, keep_default_na=False)


def reread(folder, preparation, name="south", **changes):
    return prepare(preparation("network", site=Site(name=name), **everything(**changes)), folder)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, deal_spec):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        network.deal(deal_spec("network", seed, records=40), tmp_path / name)
    first, again, other = (hashes(tmp_path / name) for name in "abc")
    assert first == again
    tables = [file for file in first if file.endswith(".csv")]
    assert len(tables) == 4 * len(SITES)
    assert all(first[file] != other[file] for file in tables)
    images = {value for file, value in first.items() if file.endswith(".dcm")}
    assert images
    assert not images & set(other.values())


@pytest.mark.parametrize(("records", "sites"), [(30, 1), (75, 3), (150, 6)])
def test_any_number_of_stays_and_hospitals(records, sites, tmp_path):
    spec = Deal(
        data=Data(source="network", records=records, modalities=("table",)),
        sites=tuple(Site(name=f"site{i}") for i in range(sites)),
        seed=3,
    )
    network.deal(spec, tmp_path)
    found = [table(folder, "patients.csv") for folder in sorted(tmp_path.iterdir())]
    assert len(found) == sites
    assert all(not frame.empty for frame in found)
    everyone = pd.concat(found)
    assert len(everyone) == everyone["stay_id"].nunique() == records
    assert everyone.groupby("patient_id").size().value_counts()[2] == records // network.REPEATS
    assert sum(frame["patient_id"].nunique() for frame in found) == everyone["patient_id"].nunique()


def test_only_what_the_task_reads_is_written(tmp_path, deal_spec):
    wanted = {
        ("table",): {"patients.csv", "diagnoses.csv", "labs.csv"},
        ("series",): {"patients.csv", "vitals.csv"},
        ("image",): {"patients.csv", "images"},
    }
    for modalities, names in wanted.items():
        out = tmp_path / modalities[0]
        network.deal(deal_spec("network", records=30, modalities=modalities), out)
        assert {file.name for file in (out / "north").iterdir()} == names


def test_hospitals_differ_in_codes_units_scanner_and_what_they_measure(dealt):
    patients = {name: table(dealt / name, "patients.csv") for name in SITES}
    for name, column in (("diagnoses.csv", "code"), ("labs.csv", "test"), ("vitals.csv", "test")):
        words = [set(table(dealt / site, name)[column]) for site in SITES]
        assert not words[0] & words[1]
        assert not words[1] & words[2]
    units = [set(table(dealt / site, "labs.csv")["unit"]) for site in SITES]
    assert units[0] == units[2] != units[1]
    written = [
        len(table(dealt / site, "vitals.csv")) / len(patients[site]) for site in SITES
    ]  # north watches most closely, south least
    assert written[0] > 1.2 * written[2] > 1.2 * written[1]
    depths = {pydicom.dcmread(next((dealt / site).glob("images/*.dcm"))).BitsStored for site in SITES}
    assert len(depths) == len(SITES)


def prevalences(folder, deal_spec, seed, **data):
    spec = deal_spec("network", seed, records=400, modalities=("table",), **data)
    network.deal(spec, folder / f"{seed}")
    patients = [table(folder / f"{seed}" / site, "patients.csv") for site in SITES]
    return [(frame["pneumonia"] == "yes").mean() for frame in patients]


def test_hospitals_differ_in_prevalence_unless_the_study_deals_in_its_own_way(tmp_path, deal_spec):
    spreads = [np.ptp(prevalences(tmp_path / "natural", deal_spec, seed)) for seed in range(5)]
    assert np.median(spreads) > 0.12
    flat = Partition(label_skew=1e6, quantity_skew=1e6)
    assert np.ptp(prevalences(tmp_path / "flat", deal_spec, 0, partition=flat)) < 0.08


def test_every_hospital_s_words_and_units_come_out_alike(folders):
    """The same patients' distribution, whatever the words: medians within a few tenths of a deviation."""
    found = {name: prepared.read(folder) for name, folder in folders.items()}
    for ready in found.values():
        assert ready.summary.quarantined == ready.summary.outside == {}
        assert all((ready.frame[each.name].notna()).all() for each in LABS)
        assert {*ready.frame["copd"]} == {*ready.frame["diabetes"]} == {"yes", "no"}
    middle = {"crp": (5, 80), "white_cells": (7, 13), "lactate": (0.9, 2.2), "creatinine": (60, 130)}
    middle |= {"heart_rate": (75, 95), "respiratory_rate": (14, 24), "temperature": (36.4, 37.6)}
    middle |= {"oxygen_saturation": (92, 98), "systolic_pressure": (110, 140)}
    assert set(middle) == {each.name for each in (*LABS, *VITALS)}
    for ready in found.values():
        medians = ready.frame[[each.name for each in LABS]].median().to_dict()
        series = np.nanmedian(ready.series, axis=(0, 1)).tolist()
        medians |= dict(zip((each.name for each in VITALS), series, strict=True))
        assert {
            name for name, value in medians.items() if not middle[name][0] < value < middle[name][1]
        } == set()


def test_records_and_image_are_the_same_patient_s(dealt, folders):
    """A record's numbers are those the export has for the stay whose image, and header, it has."""
    patients = table(dealt / "north", "patients.csv")
    for row in patients[patients["image"] != ""].itertuples():
        header = pydicom.dcmread(dealt / "north" / "images" / row.image, stop_before_pixels=True)
        assert (header.PatientID, str(header.PatientName)) == (row.patient_id, row.name)
        assert (header.PatientAge, header.PatientSex) == (f"{int(row.age):03d}Y", row.sex)
    ready = prepared.read(folders["north"])
    ordered = patients.sort_values(["patient_id", "stay_id"], kind="stable").reset_index(drop=True)
    assert ready.frame["age"].tolist() == ordered["age"].astype(float).tolist()
    assert (ready.frame["with_image"] == (ordered["image"] != "")).all()
    labs = (
        table(dealt / "north", "labs.csv").query("test == '1988-5'").astype({"hour": float, "value": float})
    )
    last = labs[labs["hour"] < 24].sort_values("hour").groupby("stay_id")["value"].last()
    assert ready.frame["crp"].tolist() == last[ordered["stay_id"]].tolist()


def test_what_comes_after_the_prediction_changes_nothing(south, preparation):
    before, _ = reread(south, preparation)
    for name in ("labs.csv", "vitals.csv", "diagnoses.csv"):
        frame = table(south, name)
        late = frame["hour"].astype(float) >= network.PREDICTED_AT
        assert late.any()
        assert not late.all()
        frame[~late].to_csv(south / name, index=False)
    after, rejected = reread(south, preparation)
    assert rejected == []
    pd.testing.assert_frame_equal(before.frame, after.frame)
    np.testing.assert_array_equal(before.series, after.series)
    data = everything()["data"]
    assert max(network.read(south, data, Site(name="south")).latest.values()) < 0


def test_the_study_says_when_to_predict(south, preparation):
    ready, _ = reread(south, preparation, hours=6.0, step_hours=2.0)
    assert ready.series.shape[1:] == (3, len(VITALS))
    vitals = table(south, "vitals.csv").astype({"hour": float, "value": float})
    stays_in_order = table(south, "patients.csv").sort_values(["patient_id", "stay_id"])["stay_id"].tolist()
    pulse = vitals[(vitals["test"] == "HR") & (vitals["hour"] >= 2) & (vitals["hour"] < 4)]
    mean = pulse.groupby("stay_id")["value"].mean().reindex(stays_in_order).to_numpy()
    np.testing.assert_allclose(ready.series[:, 1, 0], mean, rtol=1e-5)
    latest = network.read(south, Data(source="network", modalities=ALL, hours=6.0), Site(name="south")).latest
    assert -6 <= latest["crp"] < 0


def test_a_missing_modality_is_zeros_and_a_flag(folders):
    statistics = agree(folders)
    hidden = {"series": 0, "image": 0}
    for folder in folders.values():
        ready = prepared.read(folder)
        arrays = normalised(ready, statistics).arrays(slice(None))
        assert arrays["present"].shape == (len(ready.frame), len(ALL))
        for place, name in enumerate(ALL):
            flag = arrays["present"][:, place]
            assert (flag == (1 if name == "table" else ready.frame[f"with_{name}"])).all()
            gone = arrays[name][flag == 0]
            assert not gone.any()
            assert (arrays[name][flag == 1].reshape(int(flag.sum()), -1) != 0).any(axis=1).all()
            if name in hidden:
                hidden[name] += len(gone)
    assert min(hidden.values()) > 0


def test_no_patient_is_on_two_sides_and_a_second_stay_goes_with_the_first(folders):
    statistics = agree(folders)
    for folder in folders.values():
        ready, roles = prepared.read(folder), load(folder, statistics, SEED, SHARE, "impute")
        assert ready.summary.patients < ready.summary.records
        sides = [set(records.patient.tolist()) for records in roles.values()]
        assert all(sides)
        assert sum(map(len, sides)) == len(set().union(*sides)) == ready.summary.patients


def test_nothing_that_names_a_patient_is_in_a_prepared_file(dealt, folders):
    for site, folder in folders.items():
        patients = table(dealt / site, "patients.csv")
        names = {*patients["patient_id"], *patients["stay_id"], *patients["name"]}
        names |= {name.partition("^")[2] for name in patients["name"]}
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        assert {"records.parquet", "prepared.json", "series.npy", "images.npy", "quarantine.csv"} <= set(
            files
        )
        assert (dealt / site / "patients.csv").read_bytes().count(b"Patient^") == len(patients)
        for name in names:
            assert not [file for file, content in files.items() if name.encode() in content]
        values = prepared.read(folder).frame.select_dtypes(exclude="number").astype(str).to_numpy().ravel()
        assert not names & set(values)


def edit(path, row, column, value):
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[row - 2, column] = value
    frame.to_csv(path, index=False)


@pytest.mark.parametrize(
    ("name", "column", "value", "reason"),
    [
        ("labs.csv", "test", "glucose?", "test: missing, or no word of the vocabulary"),
        ("labs.csv", "unit", "furlong", "unit: missing, or none of the test's"),
        ("vitals.csv", "value", "high", "value: missing, or not a number"),
        ("vitals.csv", "hour", "-3", "hour: missing, not a number, or before admission"),
        ("vitals.csv", "stay_id", "X1", "stay_id: not in patients.csv"),
        ("diagnoses.csv", "code", "Q99.9", "code: missing, or not in the vocabulary"),
        ("patients.csv", "sex", "X", "sex: neither F nor M"),
    ],
)
def test_an_unusable_row_is_quarantined_and_the_rest_used(south, preparation, name, column, value, reason):
    edit(south / name, 3, column, value)
    after, rejected = reread(south, preparation, of=("table", "series"))
    assert [(each.file, each.row, each.reason) for each in rejected] == [(name, 3, reason)]
    assert len(after.frame) == len(table(south, "patients.csv")) - (name == "patients.csv")


def test_an_impossible_value_is_missing_and_counted(south, preparation):
    edit(south / "vitals.csv", 2, "value", "5000")
    ready, rejected = reread(south, preparation, of=("series",))
    rejected = [each for each in rejected if each.file != "patients.csv"]
    assert rejected == []
    assert list(ready.summary.outside.values()) == [1]


def test_a_missing_table_is_refused_by_name(south, preparation):
    (south / "labs.csv").unlink()
    with pytest.raises(DataError, match=r"labs\.csv: cannot be read"):
        reread(south, preparation, of=("table",))


def test_one_modality_alone_leaves_out_who_lacks_it(dealt, preparation):
    data = Data(source="network", modalities=("series",))
    spec = preparation("network", site=Site(name="south"), data=data, modalities=("series",))
    ready, rejected = prepare(spec, dealt / "south")
    assert {each.reason for each in rejected} == {"no vital sign before the prediction"}
    assert len(ready.frame) + len(rejected) == len(table(dealt / "south", "patients.csv"))
    assert ready.frame["with_series"].all()


def test_each_modality_tells_part_of_the_outcome_and_both_more():
    """What is hidden behind the files: vitals and blood, and whether the image shows an opacity."""
    practice = network.practice_of(0)
    outcomes = np.arange(1500) % 2
    found = [next(stays(5, i, int(y), 1, practice)) for i, y in enumerate(outcomes)]
    day = [one.vitals[: int(network.PREDICTED_AT)] for one in found]
    seen = [np.isfinite(grid).any() for grid in day]
    vitals = np.array(
        [np.nanmean(grid, axis=0) if any_ else np.zeros(5) for grid, any_ in zip(day, seen, strict=True)]
    )
    blood = np.array([one.labs[1, 1:3] for one in found])  # the second sample: CRP, white cells
    ehr = StandardScaler().fit_transform(np.column_stack([seen, vitals, np.log(blood)]))
    image = np.array([[one.person.finding] for one in found], dtype=float)
    scores = {}
    for name, inputs in (("ehr", ehr), ("image", image), ("both", np.hstack([ehr, image]))):
        model = LogisticRegression(max_iter=2000).fit(inputs[:1000], outcomes[:1000])
        scores[name] = roc_auc_score(outcomes[1000:], model.decision_function(inputs[1000:]))
    assert 0.75 < scores["ehr"] < 0.92
    assert scores["image"] == pytest.approx(1 - (OPACITY[0] + 1 - OPACITY[1]) / 2, abs=0.04)
    assert max(scores["ehr"], scores["image"]) + 0.02 < scores["both"] < 0.985
