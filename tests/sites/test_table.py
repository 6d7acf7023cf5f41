"""The generic table: dealt by its site column or by a partition, prepared at each site, guarded in time."""

import csv
from pathlib import Path

import numpy as np
import pytest

from coordinator import specs
from coordinator.command_line import main
from coordinator.config import Columns, Data, Partition, Site
from coordinator.errors import ConfigError, DataError
from coordinator.plan import plan
from coordinator.specs import Deal, Preparation
from coordinator.study import read_study
from sites import prepared
from sites.__main__ import COMMANDS
from sites.datasets import table
from sites.prepare import prepare, prepare_with_ids

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "config" / "studies" / "table.yaml"
HAM = {"vidir_molemax": 3954, "vidir_modern": 3363, "rosendahl": 2259, "vienna_dias": 439}
SITES = tuple(Site(name=name) for name in ("north", "south", "east"))
COLUMNS = Columns(patient="pid", record="visit", label="died", numeric=("age", "hr"), age="age")
HEADER = ["pid", "visit", "died", "age", "hr", "hour_hr", "hour"]


def visits(path, rows=300, late=0):
    """Write three visits of each of `rows` / 3 patients, `late` of them with a heart rate after 24 h."""
    draw = np.random.default_rng(0)
    ages = draw.integers(20, 90, rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row in range(rows):
            patient = row // 3
            hour = 30 if row < late else 20
            writer.writerow(
                [
                    f"p{patient}",
                    f"v{row}",
                    int(patient % 4 == row % 3 == 0),
                    ages[patient],
                    60 + row % 50,
                    hour,
                    24,
                ]
            )
    return path


def deal_of(path, columns=COLUMNS, **partition):
    data = Data(source="table", path=path.name, columns=columns, partition=Partition(**partition))
    return Deal(data=data, sites=SITES, seed=0, path=str(path))


def test_a_third_class_stops_dealing_with_exit_code_2(tmp_path, capsys):
    path = visits(tmp_path / "visits.csv")
    path.write_text(path.read_text().replace(",0,4", ",transferred,4"))  # all without the outcome aged 40-49
    spec = specs.write(deal_of(path), tmp_path)
    arguments = ["deal", "--spec", str(spec), "--out", str(tmp_path / "dealt")]
    assert main("sites", COMMANDS, arguments) == 2
    said = capsys.readouterr().err
    assert "visits.csv: found 'transferred' in 'died'" in said
    assert "Traceback" not in said


@pytest.fixture(scope="session")
def melanoma(data_root, tmp_path_factory):
    """Deal and prepare the ready study; gives each site's records and what was rejected."""
    folder = tmp_path_factory.mktemp("melanoma")
    study, sites, _ = read_study([STUDY], [f"data_root={data_root}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        task = plan(study, sites, write=True)["tasks"]["melanoma"]
        table.deal(specs.read(Deal, Path(task["deal"]["spec"])), folder / "dealt")
        return {
            site: prepare(specs.read(Preparation, Path(found["spec"])), folder / "dealt" / site)
            for site, found in task["prepare"].items()
        }


def test_every_published_row_is_some_site_s(melanoma):
    assert {site: len(ready.frame) + len(rejected) for site, (ready, rejected) in melanoma.items()} == HAM
    assert sum(ready.summary.events for ready, _ in melanoma.values()) == 1113
    assert all(not rejected for _, rejected in melanoma.values())
    missing = sum(int(ready.frame["age"].isna().sum()) for ready, _ in melanoma.values())
    assert missing == 57


def test_no_lesion_of_a_site_is_on_two_sides(melanoma, data_root):
    with (data_root / "ham10000" / "metadata.csv").open(newline="") as file:
        lesion_of = {row["image_id"]: row["lesion_id"] for row in csv.DictReader(file)}
    several, patients = 0, 0
    for ready, _ in melanoma.values():
        sides = ready.frame.groupby("patient")["role"].nunique()
        assert (sides == 1).all()
        several += int((ready.frame.groupby("patient").size() > 1).sum())
        patients += ready.summary.patients
    assert several > 1000  # so that the rule had something to hold
    # nine lesions were photographed for two sources: without linkage no site could know
    assert patients == len(set(lesion_of.values())) + 9 == 7479


def test_the_study_shows_who_its_patients_are(melanoma):
    molemax, rosendahl = melanoma["vidir_molemax"][0].summary, melanoma["rosendahl"][0].summary
    assert rosendahl.age_mean > molemax.age_mean + 5
    assert 0.3 < rosendahl.female_share < 0.6


def test_without_a_site_column_patients_are_dealt_whole(tmp_path):
    path = visits(tmp_path / "visits.csv")
    table.deal(deal_of(path, label_skew=0.5, quantity_skew=2.0), tmp_path / "out")
    found = {}
    for site in SITES:
        with (tmp_path / "out" / site.name / path.name).open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["pid"], []).append(site.name)
    assert len(found) == 100
    assert all(len(sites) == 3 and len(set(sites)) == 1 for sites in found.values())
    assert {site for sites in found.values() for site in sites} == {site.name for site in SITES}


def test_feature_skew_sorts_the_sites_by_age(tmp_path):
    path = visits(tmp_path / "visits.csv", 900)
    means = {}
    for skew in (None, 100.0):
        out = tmp_path / str(skew)
        table.deal(deal_of(path, feature_skew=skew), out)
        readings = [table.read(out / site.name, deal_of(path).data, site) for site in SITES]
        means[skew] = [reading.frame["age"].mean() for reading in readings]
    assert np.ptp(means[100.0]) > 30
    assert means[100.0] == sorted(means[100.0])
    assert np.ptp(means[None]) < 15


def test_a_row_without_a_patient_is_quarantined_at_one_site(tmp_path):
    path = visits(tmp_path / "visits.csv")
    with path.open("a") as file:
        file.write(" ,v900,0,50,70,20,24\n")
    table.deal(deal_of(path), tmp_path / "out")
    rejected = [
        entry
        for site in SITES
        for entry in table.read(tmp_path / "out" / site.name, deal_of(path).data, site).rejected
    ]
    assert [entry.reason for entry in rejected] == ["pid: empty, whose row is unknown"]


@pytest.mark.parametrize("late", [0, 1])
def test_a_feature_recorded_after_the_prediction_is_an_error_with_its_name(tmp_path, late, preparation):
    columns = COLUMNS.model_copy(update={"prediction_time": "hour", "times": {"hr": "hour_hr"}})
    path = visits(tmp_path / "visits.csv", late=late)
    spec = preparation("table").model_copy(update={"data": Data(source="table", columns=columns)})
    if not late:
        assert prepare(spec, path)[0].summary.records == 300
        return
    with pytest.raises(
        DataError, match=r"visits\.csv: recorded after the time of prediction: hr \(up to 6\.0 h\)"
    ):
        prepare(spec, path)


def test_the_order_of_a_file_changes_no_role(tmp_path, preparation):
    path = visits(tmp_path / "visits.csv")
    spec = preparation("table").model_copy(update={"data": Data(source="table", columns=COLUMNS)})
    one, _ = prepare(spec, path)
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    other, _ = prepare(spec, path)
    assert one.frame.equals(other.frame)


def test_the_commands_deal_and_prepare_it(tmp_path, preparation, capsys):
    path = visits(tmp_path / "visits.csv")
    spec = specs.write(deal_of(path), tmp_path)
    assert main("sites", COMMANDS, ["deal", "--spec", str(spec), "--out", str(tmp_path / "dealt")]) == 0
    spec = specs.write(preparation("table").model_copy(update={"data": deal_of(path).data}), tmp_path)
    arguments = [
        "--spec",
        str(spec),
        "--input",
        str(tmp_path / "dealt" / "north"),
        "--out",
        str(tmp_path / "done"),
    ]
    assert main("sites", COMMANDS, ["prepare", *arguments]) == 0
    assert "prepared table at north" in capsys.readouterr().out
    ready = prepared.read(tmp_path / "done")
    assert ready.summary.age_mean is not None
    assert len(ready.frame) == ready.summary.records >= 60


def test_new_records_need_no_outcome_and_a_study_s_do(tmp_path, preparation):
    path = visits(tmp_path / "visits.csv")
    spec = preparation("table").model_copy(update={"data": deal_of(path).data})
    known, ids, _ = prepare_with_ids(spec, path)
    lines = list(csv.DictReader(path.open()))
    for name, outcome in (("none.csv", None), ("blank.csv", ""), ("odd.csv", "not yet")):
        new = tmp_path / name
        with new.open("w", newline="") as file:
            header = [column for column in HEADER if column != "died" or outcome is not None]
            writer = csv.DictWriter(file, header, extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**line, "died": outcome} for line in lines)
        found, new_ids, rejected = prepare_with_ids(spec, new, new=True)
        assert not rejected
        assert new_ids.tolist() == ids.tolist()
        assert found.frame[["age", "hr"]].equals(known.frame[["age", "hr"]])
        assert not found.frame["label"].any()
        refused = {None: "column died", "": "no word for an outcome"}.get(
            outcome, "found 'not yet' in 'died'"
        )
        with pytest.raises(DataError, match=refused):
            prepare_with_ids(spec, new)


def test_a_table_nobody_explained_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.columns: 'table' needs to know"):
        table.read(visits(tmp_path / "visits.csv"), Data(source="table"), SITES[0])
