"""Hourly grids of the eICU demo: who is in, what is known by when, and whose the stays are."""

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
from sites.datasets import hourly
from sites.prepare import prepare
from sites.reading import Reading

REGIONS = ("midwest", "south", "west", "northeast", "unknown")
SITES = tuple(Site(name=name) for name in REGIONS)
STAYS = {
    "midwest": (430, 17),
    "south": (416, 21),
    "west": (305, 15),
    "northeast": (97, 8),
    "unknown": (119, 9),
}
BEFORE = "the outcome came before the time of prediction"
ENDED = "the stay ended before the time of prediction"


def data(outcome: str = "mortality", **changes: object) -> Data:
    return Data(source="hourly", path=".", outcome=outcome, **changes)


@pytest.fixture(scope="session")
def whole(data_root: Path) -> Reading:
    """Read the mortality grids of all regions as if they were one hospital's."""
    return hourly.read(data_root, data(), SITES[0])


@pytest.fixture(scope="session")
def dealt(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deal the mortality grids to regions."""
    folder = tmp_path_factory.mktemp("dealt")
    hourly.deal(Deal(data=data(), sites=SITES, seed=0, path=str(data_root)), folder)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """Write the grids of invented stays, each a list of an hour's labels; or one label for mortality."""

    def make(labels: dict[int, list[bool]], *, task: str = "aki", **values: float) -> Path:
        folder = tmp_path / task
        folder.mkdir(exist_ok=True)
        rows = [(stay, hour, label) for stay, each in labels.items() for hour, label in enumerate(each)]
        frame = pd.DataFrame(rows, columns=["stay_id", "hour", "label"])
        frame.insert(1, "time", pd.to_timedelta(frame.pop("hour"), unit="h"))
        frame.to_parquet(folder / "outc.parquet")
        grids = frame[["stay_id", "time"]].assign(**dict.fromkeys(hourly.VARIABLES, np.nan))
        grids.assign(**{"hr": 80.0, **values}).to_parquet(folder / "dyn.parquet")
        stays = pd.DataFrame(
            {"stay_id": list(labels), "age": 60.0, "sex": "Male", "height": 170.0, "weight": 70.0}
        )
        stays.to_parquet(folder / "sta.parquet")
        people = {"patientunitstayid": list(labels), "uniquepid": [f"p{stay % 5}" for stay in labels]}
        pd.DataFrame(people).assign(hospitalid=1).to_csv(tmp_path / "patient.csv.gz", index=False)
        return tmp_path

    return make


def test_all_stays_of_the_mortality_grids_are_used(whole: Reading) -> None:
    assert (len(whole.frame), whole.frame["label"].sum(), whole.frame["patient_id"].nunique()) == (
        1367,
        70,
        1146,
    )
    assert whole.series is not None
    assert whole.series.values.shape == (1367, 24, 48)
    assert not whole.rejected


@pytest.mark.parametrize(
    ("outcome", "stays", "events", "before", "ended"),
    [("aki", 1555, 395, 303, 130), ("sepsis", 872, 39, 24, 0)],
)
def test_stays_with_the_outcome_before_or_without_the_hour_are_rejected_with_the_reason(
    data_root: Path, outcome: str, stays: int, events: int, before: int, ended: int
) -> None:
    found = hourly.read(data_root, data(outcome, modalities=("table",)), SITES[0])
    assert (len(found.frame), found.frame["label"].sum()) == (stays, events)
    assert found.series is None
    reasons = Counter(each.reason for each in found.rejected)
    assert (reasons[BEFORE], reasons[ENDED]) == (before, ended)
    assert stays + len(found.rejected) == {"aki": 1988, "sepsis": 896}[outcome]


def test_the_grid_is_the_rows_before_the_prediction(data_root: Path, whole: Reading) -> None:
    rows = pd.read_parquet(data_root / "eicu_hourly" / "mortality24" / "dyn.parquet")
    raw = rows[list(hourly.VARIABLES)].to_numpy(np.float32).reshape(1367, 25, 48)[:, :24]
    assert rows["stay_id"].iloc[::25].astype(str).tolist() == whole.frame["record_id"].tolist()
    low, high = (
        np.array([getattr(each, end) for each in hourly.SERIES], np.float32) for end in ("low", "high")
    )
    outside = (raw < low) | (raw > high)
    assert whole.series is not None
    np.testing.assert_array_equal(whole.series.values, np.where(outside, np.float32(np.nan), raw))
    assert sum(whole.outside.values()) == outside.sum() > 0
    assert max(whole.latest.values()) == 0  # the last row ends when the prediction is made


def test_longer_steps_are_means_of_hours(data_root: Path, whole: Reading) -> None:
    found = hourly.read(data_root, data(step_hours=4), SITES[0]).series
    assert found is not None
    assert whole.series is not None
    with pytest.warns(RuntimeWarning, match="empty slice"):
        means = np.nanmean(whole.series.values.reshape(1367, 6, 4, 48).astype(np.float64), axis=2)
    np.testing.assert_allclose(found.values, means, rtol=1e-5)


def test_rows_from_the_prediction_on_change_nothing(small: Callable[..., Path]) -> None:
    path = small({1: [False] * 20, 2: [False] * 14 + [True] * 6})
    before = hourly.read(path, data("aki"), SITES[0])
    grids = pd.read_parquet(path / "aki" / "dyn.parquet")
    late = grids["time"] >= pd.Timedelta(hours=12)
    grids.loc[late, ["hr", "crea"]] = 99.0
    grids.to_parquet(path / "aki" / "dyn.parquet")
    after = hourly.read(path, data("aki"), SITES[0])
    assert late.any()
    assert before.series is not None
    assert after.series is not None
    np.testing.assert_array_equal(before.series.values, after.series.values)
    assert before.frame["label"].tolist() == [0, 1]


def test_an_hour_that_ends_after_the_prediction_is_not_known(small: Callable[..., Path]) -> None:
    path = small({1: [False] * 20})
    found = hourly.read(path, data("aki", hours=6.5), SITES[0]).series
    assert found is not None
    assert np.isfinite(found.values[0, :, hourly.VARIABLES.index("hr")]).tolist() == [True] * 6 + [False]


def test_a_label_that_is_true_in_the_last_known_hour_is_before(small: Callable[..., Path]) -> None:
    path = small(
        {11: [False] * 11 + [True] * 9, 12: [False] * 12 + [True] * 8, 3: [False] * 12, 4: [False] * 13}
    )
    found = hourly.read(path, data("aki"), SITES[0])
    assert found.frame.set_index("record_id")["label"].to_dict() == {"12": 1, "4": 0}
    assert [(each.row, each.reason) for each in found.rejected] == [(1, BEFORE), (3, ENDED)]


def test_sites_get_their_own_stays_and_a_folder_that_needs_no_other(dealt: Path) -> None:
    seen: Counter[str] = Counter()
    for site in SITES:
        found = hourly.read(dealt / site.name, data(modalities=("table",)), site)
        assert (len(found.frame), found.frame["label"].sum()) == STAYS[site.name]
        assert not found.rejected
        assert found.frame["patient_id"].notna().all()
        seen.update(found.frame["patient_id"].unique())
    assert len(seen) == 1146
    assert sum(count > 1 for count in seen.values()) == 3  # in hospitals of two regions, as the docs say


def test_a_number_of_a_hospital_goes_before_its_region(data_root: Path, tmp_path: Path) -> None:
    one = Site(name="one", select={"hourly": ("73",)})
    hourly.deal(Deal(data=data("sepsis"), sites=(one, SITES[0]), seed=0, path=str(data_root)), tmp_path)
    hospitals = {
        name: pd.read_csv(tmp_path / name / "patient.csv.gz")["hospitalid"].unique()
        for name in ("one", "midwest")
    }
    assert hospitals["one"].tolist() == [73]
    assert 73 not in hospitals["midwest"]
    assert len(hospitals["midwest"]) > 1


def test_a_patient_is_on_one_side(dealt: Path, preparation: Callable[..., Preparation]) -> None:
    spec = preparation("hourly", data=data(), modalities=("table", "series"))
    ready, _ = prepare(spec, dealt / "midwest")
    sides = ready.frame.groupby("patient")["role"].nunique()
    assert (sides == 1).all()
    assert len(sides) < len(ready.frame)  # some have several stays
    assert ready.series is not None
    assert ready.series.shape == (430, 24, 48)


def test_what_cannot_be_used_is_rejected_with_its_row(small: Callable[..., Path]) -> None:
    path = small({stay: [False] * 20 for stay in range(1, 7)})
    folder = path / "aki"
    stays = pd.read_parquet(folder / "sta.parquet")
    stays.loc[0, "sex"], stays.loc[1, "weight"] = "Unclear", np.inf
    stays.to_parquet(folder / "sta.parquet")
    outcomes, grids = (pd.read_parquet(folder / f"{name}.parquet") for name in ("outc", "dyn"))
    lost = outcomes[outcomes["stay_id"] == 3].assign(stay_id=77)
    pd.concat([outcomes[outcomes["stay_id"] != 3], lost]).to_parquet(folder / "outc.parquet")
    grids[grids["stay_id"] != 4].to_parquet(folder / "dyn.parquet")
    patients = pd.read_csv(path / "patient.csv.gz")
    patients[patients["patientunitstayid"] != 5].to_csv(path / "patient.csv.gz", index=False)
    found = hourly.read(path, data("aki"), SITES[0])
    assert found.frame["record_id"].tolist() == ["6"]
    assert sorted((each.row, each.reason) for each in found.rejected if "sta" in each.file) == [
        (1, "sex: neither Female nor Male"),
        (2, "age, height or weight: not a number"),
        (3, "no outcome"),
        (4, "no rows in the grid"),
        (5, "no patient: patient.csv.gz lacks the stay"),
    ]
    assert [each.reason for each in found.rejected if "outc" in each.file] == ["no such stay"]


def test_a_stay_of_no_known_hospital_is_dealt_to_the_first_site_and_rejected_there(
    small: Callable[..., Path], tmp_path: Path
) -> None:
    path = small({stay: [False] * 20 for stay in range(1, 7)})
    patients = pd.read_csv(path / "patient.csv.gz")
    patients[1:].to_csv(path / "patient.csv.gz", index=False)
    pd.DataFrame({"hospitalid": [1], "region": ["South"]}).to_csv(path / "hospital.csv.gz", index=False)
    hourly.deal(Deal(data=data("aki"), sites=SITES[:2], seed=0, path=str(path)), tmp_path / "out")
    first, second = (hourly.read(tmp_path / "out" / site.name, data("aki"), site) for site in SITES[:2])
    assert [each.reason for each in first.rejected] == ["no patient: patient.csv.gz lacks the stay"]
    assert len(second.frame) == 5
    assert not second.rejected


def test_missing_and_damaged_files_are_named(small: Callable[..., Path]) -> None:
    path = small({1: [False] * 20})
    with pytest.raises(DataError, match="no sepsis, neither here nor in eicu_hourly or eicu_demo"):
        hourly.read(path, data("sepsis"), SITES[0])
    (path / "aki" / "dyn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"dyn\.parquet: no readable Parquet file"):
        hourly.read(path, data("aki"), SITES[0])
    pd.DataFrame({"stay_id": [1]}).to_parquet(path / "aki" / "dyn.parquet")
    with pytest.raises(DataError, match=r"dyn\.parquet: no column time"):
        hourly.read(path, data("aki"), SITES[0])
    shutil.rmtree(path / "aki")
    with pytest.raises(DataError, match="no aki"):
        hourly.read(path, data("aki"), SITES[0])


def test_steps_are_an_hour_or_more(data_root: Path) -> None:
    with pytest.raises(ConfigError, match="a row an hour"):
        hourly.read(data_root, data(step_hours=0.5), SITES[0])
