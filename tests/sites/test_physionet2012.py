"""PhysioNet 2012: all stays of both sets, what a broken one becomes, and what is known by when."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from coordinator.config import Data, Site, Split
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Deal, Preparation
from sites.datasets import physionet2012
from sites.datasets.physionet2012_files import stays_in
from sites.prepare import prepare
from sites.reading import Reading

SITES = tuple(Site(name=name) for name in ("coronary", "cardiac_surgery", "medical", "surgical"))
DATA = Data(source="physionet2012", path="physionet2012")
TABLE = DATA.model_copy(update={"modalities": ("table",)})
# stays and deaths in set a, in set b
COUNTS = {
    "coronary": [(577, 81), (590, 72)],
    "cardiac_surgery": [(874, 43), (782, 34)],
    "medical": [(1481, 275), (1436, 286)],
    "surgical": [(1068, 155), (1192, 176)],
}
GOOD = "Time,Parameter,Value\n00:00,RecordID,{stay}\n00:00,Age,60\n00:00,Gender,1\n00:00,Height,-1\n" \
    "00:00,ICUType,{icu}\n00:00,Weight,-1\n00:07,HR,80\n"  # fmt: skip


@pytest.fixture(scope="session")
def dealt(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deal both sets to the four types of ICU."""
    folder = tmp_path_factory.mktemp("dealt")
    physionet2012.deal(Deal(data=DATA, sites=SITES, seed=0, path=str(data_root / "physionet2012")), folder)
    return folder


@pytest.fixture(scope="session")
def read_sites(dealt: Path) -> dict[str, Reading]:
    """Read every site's table, and the coronary one's grids too."""
    return {
        site.name: physionet2012.read(dealt / site.name, DATA if site is SITES[0] else TABLE, site)
        for site in SITES
    }


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """Write an archive of invented stays (number to text), and their outcomes, 0 unless said."""

    def make(texts: dict[int, str], outcomes: dict[int, str] | None = None, name: str = "a") -> Path:
        with tarfile.open(tmp_path / f"set-{name}.tar", "w") as archive:
            for stay, text in texts.items():
                member = tarfile.TarInfo(f"set-{name}/{stay}.txt")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        died = outcomes if outcomes is not None else dict.fromkeys(texts, "0")
        rows = "".join(f"{stay},6,1,5,-1,{value}\n" for stay, value in died.items())
        header = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
        (tmp_path / f"Outcomes-{name}.txt").write_text(header + rows)
        return tmp_path

    return make


def good(stay: int, *more: str, icu: int = 1) -> str:
    """Write a stay with further lines."""
    return GOOD.format(stay=stay, icu=icu) + "".join(f"{line}\n" for line in more)


def values(reading: Reading, variable: str) -> list[float]:
    """Give the first stay's steps of a variable."""
    assert reading.series is not None
    place = [each.name for each in reading.series.variables].index(variable)
    return [float(each) for each in reading.series.values[0, :, place]]


def test_every_stay_of_both_sets_is_at_the_site_of_its_icu(read_sites: dict[str, Reading]) -> None:
    seen: set[str] = set()
    for name, expected in COUNTS.items():
        frame = read_sites[name].frame
        assert not read_sites[name].rejected
        assert set(frame["icu_type"]) == {name}
        groups = [frame[frame["source_test"] == test]["label"] for test in (False, True)]
        assert [(len(group), int(group.sum())) for group in groups] == expected
        assert seen.isdisjoint(frame["patient_id"])
        seen |= set(frame["patient_id"])
    totals = [[sum(each[part][what] for each in COUNTS.values()) for what in (0, 1)] for part in (0, 1)]
    assert totals == [[4000, 554], [4000, 568]]
    assert len(seen) == 8000


def lines_of(text: bytes) -> Iterator[tuple[float, str, float]]:
    """Read a stay's measurements line by line."""
    for line in text.decode().splitlines()[1:]:
        time, name, value = line.split(",")
        yield int(time[:2]) + int(time[3:]) / 60, name, float(value)


def test_a_real_grid_equals_one_made_line_by_line(dealt: Path, read_sites: dict[str, Reading]) -> None:
    found = read_sites["coronary"]
    assert found.series is not None
    stays = [stay for _, stay in zip(range(25), stays_in(dealt / "coronary", "a"), strict=False)]
    limits = dict(zip(physionet2012.PARAMETERS, physionet2012.SERIES, strict=True))
    for place, stay in enumerate(stays):
        assert stay.file == found.frame["file"][place]
        cells: dict[tuple[int, int], list[float]] = {}
        for hours, name, value in lines_of(stay.text):
            if name in limits and limits[name].low <= value <= limits[name].high and hours < 48:
                cells.setdefault((int(hours), list(limits).index(name)), []).append(value)
        expected = np.full((48, len(limits)), np.nan)
        for cell, several in cells.items():
            expected[cell] = np.mean(several)
        np.testing.assert_allclose(found.series.values[place], expected, rtol=1e-6)


def test_impossible_values_of_the_real_data_are_counted_and_gone(read_sites: dict[str, Reading]) -> None:
    found = read_sites["coronary"]
    assert found.series is not None
    assert found.outside["sysabp"] > 0  # arterial lines that read 0
    for place, variable in enumerate(found.series.variables):
        own = found.series.values[:, :, place]
        assert np.nanmin(own) >= np.float32(variable.low)
        assert np.nanmax(own) <= np.float32(variable.high)
    assert 0 < found.frame["height"].isna().mean() < 1
    assert (found.frame["weight"].dropna() >= 20).all()


def test_the_sources_own_test_set_is_tested_on(
    dealt: Path, preparation: Callable[..., Preparation], tmp_path: Path
) -> None:
    split = Split(source_test=True)
    spec = preparation("physionet2012", site=SITES[0], data=TABLE, split=split, modalities=("table",))
    ready, _ = prepare(spec, dealt / "coronary", tmp_path)
    assert ready.summary.roles["test"].records == 590
    assert ready.summary.roles["test"].events == 72
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()
    assert set(ready.frame["role"]) == {"development", "test", "auxiliary"}


def test_an_event_at_or_after_the_prediction_changes_nothing(small: Callable[..., Path]) -> None:
    readings = []
    for late in ((), ("24:00,HR,200", "30:00,Weight,90", "48:00,pH,735")):
        path = small({1: good(1, "10:30,HR,90", *late)})
        readings.append(physionet2012.read(path, DATA.model_copy(update={"hours": 24.0}), SITES[0]))
    before, after = readings
    assert before.series is not None
    assert after.series is not None
    np.testing.assert_array_equal(before.series.values, after.series.values)
    assert before.frame.equals(after.frame)
    assert before.outside == after.outside == {}
    assert before.latest == after.latest == {"hr": -13.5}


def test_a_step_is_the_mean_of_what_is_possible(small: Callable[..., Path]) -> None:
    path = small({1: good(1, "00:20,HR,0", "01:59,HR,90", "02:00,HR,100", "02:10,pH,735", "02:50,pH,7.35")})
    found = physionet2012.read(path, DATA.model_copy(update={"step_hours": 2.0}), SITES[0])
    assert values(found, "hr")[:2] == [85, 100]
    assert values(found, "ph")[1] == pytest.approx(7.35)
    assert found.outside == {"hr": 1, "ph": 1}


def test_minus_one_is_missing_and_the_first_weight_is_the_tables(small: Callable[..., Path]) -> None:
    text = good(1, "03:00,Weight,81.5", "04:00,Weight,99").replace("Gender,1", "Gender,-1")
    found = physionet2012.read(small({1: text}), DATA, SITES[0])
    row = found.frame.iloc[0]
    assert np.isnan(row["height"])
    assert row["sex"] is None
    assert row["weight"] == 81.5
    assert values(found, "weight_charted")[3:5] == [81.5, 99]
    assert found.outside == {}


def test_broken_stays_are_rejected_with_the_line_and_the_rest_is_used(small: Callable[..., Path]) -> None:
    broken = {
        1: (good(1), None),
        2: (good(2, "00:30,HR"), 9),
        3: (good(3, "00:30,HR,high", "00:40,HR,80"), 9),
        4: ("", 1),
        5: ("RecordID;5\n", 1),
        6: (good(6).removesuffix("\n"), None),
        7: (good(7).replace("\n", "\r\n"), None),
        8: (good(99), 0),
        9: (good(9, "00:30,Aura,1"), 0),
        10: (good(10, icu=7), 0),
        11: (good(11).replace("Gender,1", "Gender,3"), 0),
        12: ("Time,Parameter,Value\n", 2),
    }
    found = physionet2012.read(small({stay: text for stay, (text, _) in broken.items()}), DATA, SITES[0])
    assert found.frame["record_id"].tolist() == ["1", "6", "7"]
    assert found.series is not None
    assert len(found.series.values) == 3
    rows = {int(each.file.removesuffix(".txt")): each.row for each in found.rejected}
    assert rows == {stay: row for stay, (_, row) in broken.items() if row is not None}
    reasons = {each.file: each.reason for each in found.rejected}
    assert "broken" in reasons["2.txt"]
    assert "high" not in reasons["3.txt"]
    assert "RecordID" in reasons["8.txt"]
    assert "parameter" in reasons["9.txt"]
    assert "ICUType" in reasons["10.txt"]
    assert np.isfinite(found.series.values).sum(axis=(1, 2)).tolist() == [1, 1, 1]


def test_stays_without_outcomes_and_outcomes_without_stays_are_rejected(small: Callable[..., Path]) -> None:
    path = small({1: good(1), 2: good(2), 3: good(3)}, {1: "1", 2: "2", 77: "0"})
    found = physionet2012.read(path, DATA, SITES[0])
    assert found.frame["record_id"].tolist() == ["1"]
    assert found.frame["label"].tolist() == [1]
    assert {(each.file, each.row) for each in found.rejected} == {
        ("2.txt", 0),
        ("3.txt", 0),
        ("Outcomes-a.txt", 4),
    }


def test_a_stay_that_names_no_icu_is_dealt_to_the_first_site(
    small: Callable[..., Path], tmp_path: Path
) -> None:
    path = small(
        {1: good(1), 2: good(2, icu=9), 3: good(3, icu=3), 4: good(4, icu=4)}, dict.fromkeys(range(1, 6), "0")
    )
    chosen = (SITES[0], SITES[2])
    physionet2012.deal(Deal(data=DATA, sites=chosen, seed=0, path=str(path)), tmp_path / "out")
    first, medical = (physionet2012.read(tmp_path / "out" / site.name, DATA, site) for site in chosen)
    assert first.frame["record_id"].tolist() == ["1"]
    assert {each.file for each in first.rejected} == {"2.txt", "Outcomes-a.txt"}
    assert medical.frame["record_id"].tolist() == ["3"]
    assert not medical.rejected


def test_dealing_twice_gives_the_same_bytes(small: Callable[..., Path], tmp_path: Path) -> None:
    path = small({1: good(1), 3: good(3, icu=3)})
    for name in ("once", "again"):
        physionet2012.deal(Deal(data=DATA, sites=SITES, seed=0, path=str(path)), tmp_path / name)
    found = sorted(each.relative_to(tmp_path / "once") for each in (tmp_path / "once").rglob("*.*"))
    assert len(found) == 8
    assert all(
        (tmp_path / "once" / each).read_bytes() == (tmp_path / "again" / each).read_bytes() for each in found
    )


def test_damaged_and_missing_files_are_named(small: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no set-a\.tar or set-b\.tar"):
        physionet2012.read(tmp_path, DATA, SITES[0])
    path = small({stay: good(stay, *["01:00,HR,80"] * 3000) for stay in (1, 2)})
    whole = (path / "set-a.tar").read_bytes()
    (path / "set-a.tar").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=r"set-a\.tar: damaged"):
        physionet2012.read(path, DATA, SITES[0])
    (path / "set-a.tar").write_bytes(whole)
    (path / "set-a.tar.xz").write_bytes(b"not xz")
    with pytest.raises(DataError, match="2 archives of set a"):
        physionet2012.read(path, DATA, SITES[0])
    (path / "set-a.tar.xz").unlink()
    (path / "Outcomes-a.txt").unlink()
    with pytest.raises(DataError, match=r"Outcomes-a\.txt"):
        physionet2012.read(path, DATA, SITES[0])


def test_there_is_nothing_after_48_hours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="records 48"):
        physionet2012.read(tmp_path, DATA.model_copy(update={"hours": 72.0}), SITES[0])
