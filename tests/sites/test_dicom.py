"""A folder of DICOM files and its table of labels."""

import csv
import logging
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_images import dicom, save

from coordinator.command_line import main
from coordinator.config import Columns, Data, Partition, Site
from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.__main__ import COMMANDS
from sites.datasets import dicom as loader
from sites.prepare import prepare
from tests.sites.preparations import found, preparation_of

BROKEN = {"bad_sequence.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"}
SITES = (Site(name="east"), Site(name="west"))
COLUMNS = Columns(
    patient="PatientID", image="path", site="site", label="finding", positive=("mass",), negative=("none",),
    numeric=("PatientAge", "dose"), categorical=("PatientSex",),
)  # fmt: skip


def write_table(folder, header, rows, name="labels.csv"):
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def data_of(*modalities, **changes):
    return Data(source="dicom", pixels=16, modalities=modalities or ("image",), **changes)


def preparation(*modalities, **changes):
    return preparation_of(SITES[0], data_of(*modalities, **changes), min_patients=4)


@pytest.fixture
def shared(data_root, tmp_path):
    """Copy the eleven real files into folders, with a table of labels."""
    names = sorted(path.name for path in (data_root / "dicom").glob("*.dcm"))
    for place, name in enumerate(names):
        target = tmp_path / "in" / f"study{place % 3}" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data_root / "dicom" / name, target)
    rows = [(name, place % 2) for place, name in enumerate(names)]
    write_table(tmp_path / "in", ("image", "label"), rows)
    return tmp_path / "in"


@pytest.fixture
def invented(tmp_path):
    """Write 24 files of 12 patients under folders that repeat file names; returns folder and headers."""
    draw = np.random.default_rng(0)
    headers = {}
    for i in range(24):
        file = dicom(
            draw.integers(0, 4096, (20, 30)).astype("u2"), bits=12, PatientID=f"MRN-{i // 2:03d}",
            PatientAge=f"{40 + i // 2:03d}Y", PatientSex="MF"[i // 2 % 2], PixelSpacing=[0.5, 0.5],
        )  # fmt: skip
        save(file, tmp_path / "in" / f"visit{i}" / "IM0001")
        headers[f"visit{i}/IM0001"] = file
    return tmp_path / "in", headers


def table_of(headers, names=None):
    kinds = ("mass", "none")
    return [
        (name if names is None else names[i], "west" if i // 2 % 3 == 0 else "east", kinds[i // 2 % 2], i)
        for i, name in enumerate(headers)
    ]


HEADER = ("path", "site", "finding", "dose")


def test_the_real_files_are_used_but_for_the_broken_two(shared):
    ready, rejected = prepare(preparation(), shared)
    assert {Path(each.file).name for each in rejected} == BROKEN
    assert all(each.reason and each.row == 0 for each in rejected)
    assert ready.images.shape == (9, 1, 16, 16)
    assert ready.images.dtype == np.float32
    assert ready.images.std(axis=(1, 2, 3)).min() > 0.005
    assert ready.summary.records == 9


def test_nothing_that_names_a_patient_leaves_the_files(shared, tmp_path, caplog, capfd):
    spec = tmp_path / "spec.json"
    spec.write_text(preparation().model_dump_json())
    identities = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in shared.rglob("*.dcm"):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            for tag in ("PatientName", "PatientID", "PatientBirthDate", "SOPInstanceUID", "StudyInstanceUID"):
                identities.add(str(header.get(tag, "")).strip("^ "))
    identities = {each for each in identities if len(each) > 3}
    assert len(identities) > 25
    assert any(identity in capfd.readouterr().err + caplog.text for identity in identities)  # pydicom alone
    caplog.clear()
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        options = ["--spec", str(spec), "--input", str(shared), "--out", str(tmp_path / "out")]
        assert main("sites", COMMANDS, ["prepare", *options]) == 0
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").iterdir()))
    assert b"bad_sequence.dcm" in written
    said = "".join(capfd.readouterr()) + caplog.text + "".join(str(each.message) for each in warned)
    for identity in identities:
        assert identity.encode() not in written
        assert identity not in said


def test_a_series_and_an_image_may_be_named_by_their_uids(invented):
    folder, headers = invented
    files = list(headers.values())
    series = {file.StudyInstanceUID: file for file in files}
    for first, second in zip(files[::2], files[1::2], strict=True):
        second.SeriesInstanceUID = first.SeriesInstanceUID
    for name, file in headers.items():
        save(file, folder / name)
    names = [
        *(file.SeriesInstanceUID for file in files[:12:2]),
        *(file.SOPInstanceUID for file in files[12:20]),
        *(name.replace("/", "/") for name in list(headers)[20:]),
    ]
    write_table(folder, ("image", "label"), [(name, i % 2) for i, name in enumerate(names)])
    ready, rejected = prepare(preparation(), folder)
    assert rejected == []
    assert len(series) == len(ready.frame) == 24
    assert ready.summary.patients == 12
    by_series = ready.frame.merge(
        ready.frame.groupby("patient")["label"].nunique().rename("labels"), on="patient"
    )
    assert (by_series["labels"] == 1).sum() == 12  # a series' images share its row's label
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()


def test_age_and_sex_come_from_the_header(invented):
    folder, headers = invented
    write_table(folder, HEADER, table_of(headers))
    ready, rejected = prepare(preparation("table", "image", columns=COLUMNS), folder)
    assert rejected == []
    assert list(ready.frame.columns[-3:]) == ["PatientAge", "dose", "PatientSex"]
    assert sorted(set(ready.frame["PatientAge"])) == list(range(40, 52))
    assert set(ready.frame["PatientSex"]) == {"female", "male"}
    assert ready.summary.age_mean == pytest.approx(45.5)
    plain, _ = prepare(preparation("image", columns=COLUMNS), folder)
    assert "PatientAge" not in plain.frame
    assert plain.summary.age_mean == ready.summary.age_mean


def test_what_cannot_be_used_is_quarantined_with_its_reason(invented):
    folder, headers = invented
    rows = table_of(headers)
    rows[0] = ("IM0001", *rows[0][1:])  # every file's name
    rows[3] = ("visit4/IM0001", *rows[3][1:])  # the fifth's too
    rows[6] = (rows[6][0], "east", "perhaps", 3)
    rows[8] = ("visit99/IM0001", *rows[8][1:])
    rows[9:11] = []
    write_table(folder, HEADER, rows)
    with pytest.raises(DataError, match="named in several rows"):
        prepare(preparation(columns=COLUMNS), folder)  # every file is named twice
    write_table(folder, HEADER, rows[1:])
    (folder / "visit20" / "IM0001").write_bytes(b"%PDF-1.4 a letter")
    whole = (folder / "visit22" / "IM0001").read_bytes()
    (folder / "visit22" / "IM0001").write_bytes(whole[:-100])
    nameless = headers["visit23/IM0001"]
    nameless.PatientID, nameless.StudyInstanceUID = "", ""
    save(nameless, folder / "visit23" / "IM0001")
    (folder / "readme.txt").write_text("hello")
    ready, rejected = prepare(preparation(columns=COLUMNS), folder)
    truncated = "pixel data that is truncated, or compressed in a way this program cannot read"
    assert found(rejected) == {
        ("visit0/IM0001", 0, "no row in labels.csv"),
        ("visit3/IM0001", 0, "no row in labels.csv"),
        ("visit8/IM0001", 0, "no row in labels.csv"),
        ("visit9/IM0001", 0, "no row in labels.csv"),
        ("visit10/IM0001", 0, "no row in labels.csv"),
        ("visit4/IM0001", 0, "path: named in several rows"),
        ("labels.csv", 7, "finding: missing, or no word for an outcome or none"),
        ("labels.csv", 9, "path: not in the folder"),
        ("visit20/IM0001", 0, "not a DICOM file"),
        ("visit22/IM0001", 0, truncated),
        ("visit23/IM0001", 0, "neither a PatientID nor a StudyInstanceUID"),
        ("readme.txt", 0, "not a DICOM file"),
    }
    assert len(ready.frame) == 24 - 10


def test_several_files_of_one_name_belong_to_no_row(invented):
    folder, headers = invented
    rows = [("IM0001", "east", "mass", 1), *table_of(headers)[4:]]
    for i in range(4, 24):
        (folder / f"visit{i}" / "IM0001").rename(folder / f"visit{i}" / f"IM{i}")
    rows[1:] = [(f"IM{i}", *row[1:]) for i, row in enumerate(rows[1:], start=4)]
    write_table(folder, HEADER, rows)
    ready, rejected = prepare(preparation(columns=COLUMNS), folder)
    assert found(rejected) == {(f"visit{i}/IM0001", 0, "path: several files of this name") for i in range(4)}
    assert len(ready.frame) == 20


def test_without_a_table_no_image_has_a_label(invented):
    folder, _ = invented
    reading = loader.read(folder, data_of(), SITES[0])
    assert len(reading.frame) == 0
    assert len(reading.rejected) == 24
    with pytest.raises(DataError, match="24 x no label: the folder has no table of them"):
        prepare(preparation(), folder)


def test_a_row_without_a_file_is_masked_where_its_patient_is_known(invented):
    folder, headers = invented
    rows = [(*row, f"p{i // 2}") for i, row in enumerate(table_of(headers))]
    rows[5] = ("", *rows[5][1:])
    rows[7] = ("lost", *rows[7][1:])
    write_table(folder, (*HEADER, "patient"), rows)
    columns = COLUMNS.model_copy(update={"patient": "patient"})
    ready, rejected = prepare(preparation("table", "image", columns=columns), folder)
    assert {each.reason for each in rejected} == {"no row in labels.csv"}
    absent = ready.frame[~ready.frame["with_image"]]
    assert sorted(absent["dose"]) == [5, 7]
    assert absent["PatientAge"].isna().all()
    assert ready.summary.patients == 12
    assert (ready.frame.groupby("patient").size() == 2).all()
    with_header, rejected = prepare(preparation("table", "image", columns=COLUMNS), folder)
    assert len(with_header.frame) == 22  # an unknown patient could be on both sides


def test_a_tables_patient_goes_before_the_headers(invented):
    folder, headers = invented
    rows = [(*row, f"p{i // 4}") for i, row in enumerate(table_of(headers))]
    write_table(folder, (*HEADER, "PatientID"), rows)
    ready, _ = prepare(preparation(columns=COLUMNS), folder)
    assert ready.summary.patients == 6


@pytest.mark.parametrize("site", ["site", None])
def test_each_site_is_dealt_its_rows_and_files_alone(site, invented, tmp_path, capsys):
    folder, headers = invented
    rows = table_of(headers)
    write_table(folder, HEADER, rows[:-1])
    broken = folder / "visit2" / "IM0001"
    broken.write_bytes(broken.read_bytes()[:-9])
    columns = COLUMNS.model_copy(update={"site": site})
    data = data_of("table", "image", columns=columns, path="in", partition=Partition())
    loader.deal(Deal(data=data, sites=SITES, seed=0, path=str(folder)), tmp_path / "dealt")
    assert ("1 files are named by no row" in capsys.readouterr().out) == (site is not None)
    prepared = {}
    for each in SITES:
        own = tmp_path / "dealt" / each.name
        assert {path.is_symlink() for path in own.rglob("*")} == {False}
        prepared[each.name] = prepare(preparation("table", "image", columns=columns), own)
    assert sum(len(ready.frame) for ready, _ in prepared.values()) == 22
    rejected = [entry for _, entries in prepared.values() for entry in entries]
    reasons = {each.file: each.reason.partition(",")[0] for each in rejected}
    stray = {} if site else {"visit23/IM0001": "no row in labels.csv"}
    assert reasons == {"visit2/IM0001": "pixel data that is truncated", **stray}
    ages = [set(ready.frame["PatientAge"]) for ready, _ in prepared.values()]
    assert not ages[0] & ages[1]  # the ages tell the patients apart
    if site:
        assert len(prepared["west"][0].frame) == sum(row[1] == "west" for row in rows[:-1])


def test_preparing_holds_one_image_at_a_time(tmp_path):
    """Sixteen images of 0.5 MB each, 1 MB in float32: of 16 MB a few may be held."""
    folder = tmp_path / "in"
    for i in range(16):
        stored = np.full((512, 512), i, "u2")
        save(dicom(stored, PatientID=f"p{i}"), folder / f"{i}.dcm")
    write_table(folder, ("image", "label"), [(f"{i}.dcm", i % 2) for i in range(16)])
    (tmp_path / "out").mkdir()
    prepare(preparation(), folder, tmp_path / "out")  # what is loaded late is loaded
    (tmp_path / "out" / "images.npy").unlink()
    spec = preparation().model_copy(update={"data": data_of().model_copy(update={"pixels": 256})})
    tracemalloc.start()
    ready, rejected = prepare(spec, folder, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rejected == []
    assert ready.images.nbytes == 16 * 256**2 * 4
    assert peak < 7 << 20


def test_a_folder_is_expected(tmp_path):
    path = save(dicom(np.zeros((4, 4), "u1")), tmp_path / "a.dcm")
    with pytest.raises(DataError, match="expected a folder"):
        prepare(preparation(), path)
