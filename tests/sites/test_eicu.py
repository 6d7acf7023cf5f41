"""eICU's tables: who is in, what is known by when, and whose the stays are."""

import gzip
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coordinator.config import Data, Site
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Deal, Preparation
from sites.datasets import eicu, eicu_tables
from sites.datasets.eicu_features import SUMMARIES, features
from sites.prepare import prepare
from sites.reading import Reading

ENDED, UNKNOWN = "the stay ended before the time of prediction", "hospital outcome unknown"
# stays of the published demo, and of those that are predicted: records and deaths
REGIONS = {
    "Midwest": (807, 507, 34), "South": (738, 503, 42), "West": (606, 357, 35), "Northeast": (159, 103, 14),
    "unknown": (210, 136, 16),
}  # fmt: skip
SITES = tuple(Site(name=name.lower(), select={"eicu": (name,)}) for name in REGIONS)
# what apachePredVar and patient know of the end of the stay
LATE = (
    "diedinhospital", "dischargelocation", "visitnumber", "var03hspxlos", "hospitaldischargelocation",
    "hospitaldischargeoffset", "unitdischargestatus", "dischargeweight", "hospitaldischargestatus",
)  # fmt: skip
STAYS, DAY = 30, 1440
EVENTS = {  # table: its time, a row that raises an input, and the input
    "admissionDx": (
        "admitdxenteredoffset",
        {"admitdxpath": "admission diagnosis|All Diagnosis|Non-operative|Diagnosis|Neurology|Coma/change"},
        "adm_coma",
    ),
    "diagnosis": ("diagnosisoffset", {"diagnosisstring": "oncology|leukemia"}, "dx_cancer"),
    "pastHistory": (
        "pasthistoryenteredoffset",
        {"pasthistorypath": "notes/Progress Notes/Past History/Organ Systems/Pulmonary/COPD/COPD - severe"},
        "hx_copd",
    ),
    "treatment": ("treatmentoffset", {"treatmentstring": "renal|dialysis|hemodialysis"}, "tx_dialysis"),
    "vitalAperiodic": (
        "observationoffset",
        {"noninvasivesystolic": 70, "noninvasivediastolic": 40, "noninvasivemean": 50},
        "noninvasivesystolic_min",
    ),
    "lab": ("labresultoffset", {"labname": "lactate", "labresult": 9.5}, "lab_lact_last"),
}


def tables() -> dict[str, pd.DataFrame]:
    """Invent stays of one patient each, with an early event of no meaning in every table."""
    stay = np.arange(1000, 1000 + STAYS)
    patient = pd.DataFrame(
        {
            "patientunitstayid": stay, "patienthealthsystemstayid": stay,
            "uniquepid": [f"p{i}" for i in stay],
            "hospitalid": stay % 3, "age": 50, "gender": "Female", "ethnicity": "Hispanic",
            "unittype": "MICU", "unitadmitsource": "Floor", "unitstaytype": "admit", "admissionheight": 170.0,
            "admissionweight": 70.0, "hospitaladmitoffset": -90, "hospitaldischargeoffset": 9000,
            "unitdischargeoffset": 3000, "hospitaldischargeyear": 2014, "hospitaldischargelocation": "Home",
            "hospitaldischargestatus": ["Expired" if i % 3 == 0 else "Alive" for i in stay],
            "unitdischargestatus": "Alive", "dischargeweight": 69.0,
        }
    )  # fmt: skip
    measures = [name.removeprefix("aps_") for name in every_input() if name.startswith("aps_")]
    aps = pd.DataFrame({"patientunitstayid": stay}).assign(**dict.fromkeys(measures, 1))
    aps = aps.assign(heartrate=80, temperature=37)
    apache = [name.removeprefix("apache_") for name in every_input() if name.startswith("apache_")]
    pred = pd.DataFrame({"patientunitstayid": stay}).assign(**dict.fromkeys([*apache, *LATE[:4]], 0))
    found = {"patient": patient, "apacheApsVar": aps, "apachePredVar": pred}
    for table, (time, row, _) in EVENTS.items():
        blank = {name: 120.0 if isinstance(value, int) else "nothing" for name, value in row.items()}
        if table == "lab":
            blank = {"labname": "lactate", "labresult": 1.0}
        found[table] = pd.DataFrame({"patientunitstayid": stay, time: 60, **blank})
    found["hospital"] = pd.DataFrame({"hospitalid": [0, 1, 2], "region": ["North", "South", None]})
    return found


def every_input() -> list[str]:
    return [feature.name for feature in features(hours=24, with_labs=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write the invented tables, changed by functions of a table each."""

    def make(name: str = "eicu", **changes: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
        out = tmp_path / name
        out.mkdir()
        for table, frame in tables().items():
            changes.get(table, lambda same: same)(frame).to_csv(out / f"{table}.csv", index=False)
        return out

    return make


def read(path: Path, **changes: object) -> Reading:
    return eicu.read(path, Data(source="eicu", tables=("lab",), **changes), SITES[0])


def reasons(reading: Reading) -> Counter[str]:
    return Counter(entry.reason for entry in reading.rejected)


@pytest.fixture(scope="session")
def whole(data_root: Path) -> Reading:
    """Read the demo of all regions as if it were one hospital's."""
    return eicu.read(data_root / "eicu_demo", Data(source="eicu"), SITES[0])


@pytest.fixture(scope="session")
def dealt(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deal the demo to regions."""
    out = tmp_path_factory.mktemp("dealt")
    eicu.deal(Deal(data=Data(source="eicu"), sites=SITES, seed=0, path=str(data_root / "eicu_demo")), out)
    return out


def test_every_stay_of_the_demo_is_predicted_or_has_a_reason(whole):
    assert len(whole.frame) == 1606
    assert whole.frame["label"].sum() == 141
    assert reasons(whole) == {ENDED: 886, UNKNOWN: 28}
    assert len(whole.frame) + len(whole.rejected) == 2520


def test_no_input_was_recorded_after_the_prediction_and_most_say_when(whole):
    assert max(whole.latest.values()) <= 0
    timed = [name for name in every_input() if name.startswith(("aps_", "apache_", "adm_", "dx_", "hx_"))]
    assert set(timed) <= set(whole.latest)


def test_what_is_known_at_discharge_is_no_input(whole):
    names = {feature.name for feature in whole.features}
    assert len(names) == len(whole.features) > 90
    assert not [name for name in names if any(late in name for late in LATE)]
    assert not set(LATE) & set(whole.frame)


def test_stays_without_apache_keep_missing_values(whole, data_root):
    with_row = pd.read_csv(data_root / "eicu_demo" / "apacheApsVar.csv.gz")["patientunitstayid"].astype(str)
    without = ~whole.frame["record_id"].isin(with_row)
    aps = [name for name in whole.frame if name.startswith("aps_")]
    assert 0 < without.sum() < len(without)
    assert whole.frame.loc[without, aps].isna().all(axis=None)
    assert (whole.frame.loc[~without, "aps_heartrate"] > 0).mean() > 0.9


def test_a_region_gets_its_stays_and_every_row_goes_to_one(dealt, whole, data_root):
    readings = {name: eicu.read(dealt / name.lower(), Data(source="eicu"), SITES[0]) for name in REGIONS}
    for name, (stays, records, deaths) in REGIONS.items():
        found = readings[name]
        assert (len(found.frame) + len(found.rejected), len(found.frame)) == (stays, records)
        assert found.frame["label"].sum() == deaths
    together = pd.concat(each.frame for each in readings.values()).sort_values("record_id")
    expected = whole.frame.sort_values("record_id")
    assert together.drop(columns="row").equals(expected.drop(columns="row").set_axis(together.index))
    for path in sorted((dealt / "midwest").iterdir()):
        header, *rows = lines(data_root / "eicu_demo" / path.name)
        parts = [lines(dealt / name.lower() / path.name) for name in REGIONS]
        assert all(part[0] == header for part in parts)
        assert sum(len(part) - 1 for part in parts) == len(rows)


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_nobody_is_on_two_sides(dealt, whole):
    spec = {"data": Data(source="eicu"), "modalities": ("table",), "split_seed": 0, "min_patients": 10}
    spec |= {"site": SITES[1], "split": {}, "min_cell": 5}
    ready, _ = prepare(Preparation.model_validate(spec), dealt / "south")
    sides = ready.frame.groupby("patient")["role"].nunique()
    assert (sides == 1).all()
    assert len(sides) < len(ready.frame) == REGIONS["South"][1]  # some have several stays


def test_groups_are_counted_in_stays(data_root):
    folder = data_root / "eicu_demo"
    assert eicu.groups(folder, "region") == {name: stays for name, (stays, _, _) in sorted(REGIONS.items())}
    hospitals = eicu.groups(folder, "hospital")
    assert (len(hospitals), sum(hospitals.values()), max(hospitals.values())) == (186, 2520, 40)
    with pytest.raises(ConfigError, match="by region or hospital, not by 'ward'"):
        eicu.groups(folder, "ward")


def test_laboratory_results_of_the_release_are_summarised(data_root, tmp_path):
    for path in (data_root / "eicu_demo").glob("*.csv.gz"):
        shutil.copyfile(path, tmp_path / path.name.replace("lab_subset_169_stays", "lab"))
    found = read(tmp_path)
    raw = pd.read_csv(tmp_path / "lab.csv.gz")
    raw = raw[raw["labname"].eq("BUN") & raw["labresultoffset"].between(-360, DAY) & raw["labresult"].notna()]
    raw = raw.assign(stay=raw["patientunitstayid"].astype(str)).groupby("stay")["labresult"]
    frame = found.frame.set_index("record_id")
    measured = frame["lab_bun_max"].dropna()
    assert len(measured) > 90
    assert measured.to_dict() == raw.max().reindex(measured.index).to_dict()
    assert set(measured.index) == set(raw.max().index) & set(frame.index)


def event(table: str, minute: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Add an event of the first stay."""
    time, row, _ = EVENTS[table]
    return lambda frame: pd.concat([frame, pd.DataFrame([{"patientunitstayid": 1000, time: minute, **row}])])


def events(minute: float) -> dict[str, Callable[[pd.DataFrame], pd.DataFrame]]:
    """Add an event of the first stay to every table."""
    return {table: event(table, minute) for table in EVENTS}


def test_events_after_the_prediction_change_nothing(folder):
    before = read(folder("plain")).frame
    assert read(folder("late", **events(DAY + 1))).frame.equals(before)
    known = read(folder("known", **events(DAY))).frame
    changed = {name for name in before if not known[name].equals(before[name])}
    assert changed > {name for _, _, name in EVENTS.values()}
    assert known.iloc[1:].equals(before.iloc[1:])


def test_events_without_a_time_are_quarantined(folder):
    found = read(folder(**events(np.nan)))
    expected = {(f"{table}.csv", f"{table}.{EVENTS[table][0]}: missing or not a number") for table in EVENTS}
    assert {(entry.file, entry.reason) for entry in found.rejected} == expected
    assert [entry.row for entry in found.rejected] == [STAYS + 2] * len(EVENTS)
    assert found.frame.equals(read(folder("plain")).frame)


def test_columns_that_know_the_end_change_nothing(folder):
    ends = dict.fromkeys(LATE[:4], 7)
    told = {"hospitaldischargelocation": "Death", "unitdischargestatus": "Expired", "dischargeweight": 1.0}
    found = read(folder("told", apachePredVar=lambda t: t.assign(**ends), patient=lambda t: t.assign(**told)))
    assert found.frame.equals(read(folder("plain")).frame)


def test_apache_is_no_input_before_its_day_is_over(folder):
    path = folder()
    found = read(path, hours=12)
    assert not [feature.name for feature in found.features if feature.name.startswith(("aps_", "apache_"))]
    assert {feature.name for feature in read(path, hours=24).features} == set(every_input())
    assert read(path, hours=36).latest["aps_heartrate"] == -12


def test_a_stay_that_does_not_outlast_the_prediction_is_out(folder):
    path = folder(patient=lambda t: t.assign(unitdischargeoffset=[DAY, DAY + 1, None, *[3000] * (STAYS - 3)]))
    found = read(path)
    assert reasons(found) == {ENDED: 1, "end of the stay unknown": 1}
    assert list(found.frame["record_id"][:2]) == ["1001", "1003"]


def test_words_for_missing_and_for_the_oldest(folder):
    def change(frame):
        ages = pd.Series(["> 89", "", "89", "old", *["50"] * (STAYS - 4)])
        genders = ["Male", "Unknown", "Female", "Female", *["Female"] * (STAYS - 4)]
        return frame.assign(age=ages, gender=genders)

    found = read(
        folder(patient=change, apacheApsVar=lambda t: t.assign(sodium=[-1, 0, *[140] * (STAYS - 2)]))
    )
    assert reasons(found) == {"age: not a number": 1}
    assert found.frame["age"].iloc[:3].tolist()[::2] == [90, 89]
    assert np.isnan(found.frame["age"].iloc[1])
    assert found.frame["gender"].iloc[:3].fillna("missing").tolist() == ["male", "missing", "female"]
    assert np.isnan(found.frame["aps_sodium"].iloc[0])
    assert found.frame["aps_sodium"].iloc[1] == 0  # not missing: impossible, which preparation counts


def test_impossible_pressures_are_counted_and_enter_no_summary(folder):
    found = read(
        folder(vitalAperiodic=lambda t: t.assign(noninvasivesystolic=[0, 9999, *[120] * (STAYS - 2)]))
    )
    assert found.outside == {"noninvasivesystolic": 2}
    columns = [f"noninvasivesystolic_{what}" for what in SUMMARIES]
    assert found.frame[columns].isna().all(axis=1).tolist() == [True, True, *[False] * (STAYS - 2)]


def test_the_spelling_of_files_and_columns_and_the_size_of_blocks_change_nothing(folder, monkeypatch):
    path, plain = folder(), read(folder("plain")).frame
    for file in list(path.iterdir()):
        header, rest = file.read_text().split("\n", 1)
        with gzip.open(path / f"{file.name.upper()}.GZ", "wt") as packed:
            packed.write(f"{header.upper()}\n{rest}")
        file.unlink()
    monkeypatch.setattr(eicu_tables, "BLOCK", 7)
    assert read(path).frame.drop(columns="file").equals(plain.drop(columns="file"))


def test_two_rows_of_apache_that_nobody_can_choose_from_are_quarantined(folder):
    found = read(folder(apacheApsVar=lambda t: pd.concat([t, t.iloc[:1].assign(heartrate=150)])))
    assert reasons(found) == {"apacheApsVar: the stay stands more than once": 2}
    assert found.frame["aps_heartrate"].isna().tolist() == [True, *[False] * (STAYS - 1)]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: (path / "diagnosis.csv").unlink(), "no diagnosis.csv.gz .nor .csv."),
        (lambda path: shutil.copy(path / "patient.csv", path / "patient.csv.gz"), "patient lies here twice"),
        (lambda path: (path / "treatment.csv").write_text("a,b\n1,2\n"), "treatment.csv:1: expected each"),
        (lambda path: (path / "diagnosis.csv").write_text(""), "diagnosis.csv: not a readable table"),
        (
            lambda path: (path / "patient.csv").rename(path / "patient.csv.gz"),
            "patient.csv.gz: not a readable",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_named(harm, message, folder):
    path = folder()
    harm(path)
    with pytest.raises(DataError, match=message):
        read(path)


def test_an_empty_table_leaves_its_inputs_out(folder):
    found = read(folder(diagnosis=lambda t: t.iloc[:0], vitalAperiodic=lambda t: t.iloc[:0]))
    assert len(found.frame) == STAYS
    assert (found.frame["dx_cancer"] == "no").all()
    assert found.frame["noninvasivemean_last"].isna().all()


def sites_that_take(*words: tuple[str, ...]) -> tuple[Site, ...]:
    return tuple(Site(name=f"site{i}", select={"eicu": each}) for i, each in enumerate(words))


def dealt_stays(path: Path, out: Path, *words: tuple[str, ...]) -> list[list[int]]:
    sites = sites_that_take(*words)
    eicu.deal(Deal(data=Data(source="eicu"), sites=sites, seed=0, path=str(path)), out)
    return [sorted(pd.read_csv(out / site.name / "patient.csv")["patientunitstayid"] % 3) for site in sites]


def test_a_hospital_goes_before_its_region_and_the_rest_to_whoever_takes_it(folder, tmp_path):
    path = folder()
    hands = dealt_stays(path, tmp_path / "a", ("0",), ("South", "unknown"))
    assert [set(hand) for hand in hands] == [{0}, {1, 2}]
    hands = dealt_stays(path, tmp_path / "b", ("north", "0"), ("*",))
    assert [set(hand) for hand in hands] == [{0}, {1, 2}]
    assert sum(map(len, hands)) == STAYS


def test_stays_of_nobody_and_patients_at_two_sites_are_told(folder, tmp_path, capsys):
    path = folder(patient=lambda t: t.assign(uniquepid=["same"] * 2 + list(t["uniquepid"][2:])))
    dealt_stays(path, tmp_path / "a", ("0",), ("2",))
    told = capsys.readouterr().out
    assert "10 of 30 stays are of no site of the task" in told
    assert "1 patients have stays at several sites" not in told  # one of the two hospitals is left out
    dealt_stays(path, tmp_path / "b", ("0",), ("1",), ("2",))
    assert "1 patients have stays at several sites" in capsys.readouterr().out


def test_a_site_without_a_stay_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="no stay of site 'site1', which takes 'Middle'"):
        dealt_stays(folder(), tmp_path / "a", ("*",), ("Middle",))
