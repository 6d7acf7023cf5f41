"""eICU's tables: whose each stay is, what is known at the time of prediction, and nothing later."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coordinator.config import Data, Site
from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.datasets import eicu
from sites.prepare import prepare

REGIONS = {"midwest": "Midwest", "south": "South", "west": "West", "northeast": "Northeast", "rest": "*"}
SITES = tuple(Site(name=name, select={"eicu": (region,)}) for name, region in REGIONS.items())
DATA = Data(source="eicu", path="eicu_demo", modalities=("table",))


@pytest.fixture(scope="session")
def folder(data_root: Path) -> Path:
    return data_root / "eicu_demo"


@pytest.fixture(scope="session")
def dealt(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Divide the demo by region, once."""
    out = tmp_path_factory.mktemp("eicu")
    eicu.deal(Deal(data=DATA, sites=SITES, seed=0, path=str(folder)), out)
    return out


@pytest.fixture(scope="session")
def whole(folder: Path):
    return eicu.read(folder, DATA, SITES[0])


@pytest.fixture
def small(folder: Path, tmp_path: Path) -> Path:
    """Copy the demo as plain CSV, so that a test may edit a table."""
    for path in folder.glob("*.csv.gz"):
        with gzip.open(path, "rb") as packed, (tmp_path / path.name.removesuffix(".gz")).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    return tmp_path


def stays(folder: Path) -> pd.DataFrame:
    return pd.read_csv(next(folder.glob("patient.csv*")), dtype=str)


def assert_same_records(one, other):
    left, right = (each.frame.drop(columns="file") for each in (one, other))
    pd.testing.assert_frame_equal(left, right)


def test_every_stay_is_a_record_or_set_aside_with_its_reason(whole, folder):
    reasons = pd.Series([entry.reason for entry in whole.rejected]).value_counts()
    assert len(whole.frame) + len(whole.rejected) == 2520 == len(stays(folder))
    assert set(reasons.index) == {"the stay ended before the time of prediction", "hospital outcome unknown"}
    outlasting = pd.to_numeric(stays(folder)["unitdischargeoffset"]) > 24 * 60
    assert len(whole.frame) <= outlasting.sum()
    assert whole.frame["label"].sum() > 100


def test_every_stay_goes_to_one_site_by_its_hospital_s_region(dealt, folder):
    found = {site: set(stays(dealt / site)["patientunitstayid"]) for site in REGIONS}
    assert {site: len(ids) for site, ids in found.items()} == {
        "midwest": 807, "south": 738, "west": 606, "northeast": 159, "rest": 210,
    }  # fmt: skip
    everyone = stays(folder)["patientunitstayid"]
    assert set.union(*found.values()) == set(everyone)
    assert sum(map(len, found.values())) == len(everyone)


def test_a_site_s_folder_holds_no_other_site_s_stay(dealt):
    own = set(stays(dealt / "northeast")["patientunitstayid"])
    tables = [path for path in (dealt / "northeast").glob("*.csv*") if not path.name.startswith("hospital")]
    assert len(tables) >= 7
    for path in tables:
        assert set(pd.read_csv(path, dtype=str)["patientunitstayid"]) <= own


@pytest.mark.parametrize("site", REGIONS)
def test_no_patient_is_on_two_sides(site, dealt, preparation):
    spec = preparation("eicu", data=DATA, site=SITES[list(REGIONS).index(site)])
    ready, _ = prepare(spec, dealt / site)
    sides = ready.frame.groupby("patient")["role"].nunique()
    assert (sides == 1).all()
    assert len(ready.frame) > len(sides) or site == "northeast"  # some have several stays


def test_what_is_recorded_later_changes_nothing(whole, small):
    for name, time in (("vitalAperiodic", "observationoffset"), ("diagnosis", "diagnosisoffset")):
        path = small / f"{name}.csv"
        table = pd.read_csv(path, dtype=str)
        late = table[pd.to_numeric(table[time]) > 24 * 60].head(2000).copy()
        assert len(late) > 100
        for column in ("noninvasivesystolic", "noninvasivediastolic", "noninvasivemean"):
            if column in late:
                late[column] = "39"
        late[time] = "1441"
        pd.concat([table, late]).to_csv(path, index=False)
    assert_same_records(eicu.read(small, DATA, SITES[0]), whole)


def test_what_is_recorded_at_the_last_minute_counts_and_is_told_to_the_leak_guard(whole, small):
    table = pd.read_csv(small / "vitalAperiodic.csv", dtype=str)
    stay = whole.frame["record_id"].iloc[0]
    row = table.iloc[[0]].assign(patientunitstayid=stay, observationoffset="1440", noninvasivesystolic="201")
    pd.concat([table, row]).to_csv(small / "vitalAperiodic.csv", index=False)
    found = eicu.read(small, DATA, SITES[0])
    assert found.frame["noninvasivesystolic_last"].iloc[0] == 201
    assert found.latest["noninvasivesystolic_last"] == 0
    assert max(found.latest.values()) <= 0


@pytest.mark.parametrize(
    "leak", ["diedinhospital", "dischargelocation", "hospitaldischargestatus", "unitdischargeoffset"]
)
def test_what_is_known_only_later_is_no_input(whole, leak):
    assert not any(leak in feature.name for feature in whole.features)


def test_minus_one_is_missing_and_over_89_is_90(whole, folder):
    numbers = whole.frame[
        [f.name for f in whole.features if f.name.startswith("aps_") and f.kind == "numeric"]
    ]
    assert not (numbers == -1).any(axis=None)
    assert numbers.isna().any(axis=None)
    old = set(stays(folder).query("age == '> 89'")["patientunitstayid"])
    ages = whole.frame.set_index("record_id")["age"]
    assert (ages[ages.index.isin(old)] == 90).all()
    assert len(ages[ages.index.isin(old)]) > 20


def test_a_missing_table_or_column_is_named(small):
    table = pd.read_csv(small / "patient.csv", dtype=str)
    table.drop(columns="uniquepid").to_csv(small / "patient.csv", index=False)
    with pytest.raises(DataError, match="uniquepid"):
        eicu.read(small, DATA, SITES[0])
    (small / "apacheApsVar.csv").unlink()
    with pytest.raises(DataError, match="apacheApsVar"):
        eicu.read(small, DATA, SITES[0])


def test_the_full_release_s_way_of_writing_is_read_too(whole, small):
    """Its columns are written in mixed case, its tables compressed or not."""
    for path in small.glob("*.csv"):
        table = pd.read_csv(path, dtype=str)
        table.columns = [name.title() for name in table.columns]
        table.to_csv(path, index=False)
    assert_same_records(eicu.read(small, DATA, SITES[0]), whole)


def test_labs_are_read_where_a_study_asks_for_them(small, folder):
    shutil.copy(folder / "lab_subset_169_stays.csv.gz", small / "lab.csv.gz")
    found = eicu.read(small, DATA.model_copy(update={"tables": ("lab",)}), SITES[0])
    labs = [f.name for f in found.features if f.name.startswith("lab_")]
    assert labs
    measured = found.frame[labs].notna().any(axis=1).sum()
    assert 50 < measured <= 169
    assert max(found.latest[name] for name in labs if name in found.latest) <= 0


def test_groups_are_counted_for_the_list_of_sites(folder):
    regions = eicu.groups(folder, "region")
    assert sum(regions.values()) == 2520
    assert len(eicu.groups(folder, "hospital")) == 186
    assert np.max(list(eicu.groups(folder, "hospital").values())) < 60
