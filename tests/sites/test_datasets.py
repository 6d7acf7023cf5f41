import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from coordinator.command_line import main
from coordinator.errors import ConfigError, DataError
from coordinator.loaders import SOURCES
from sites.__main__ import COMMANDS
from sites.datasets import DATASETS, breast_cancer, dataset, network
from sites.imaging import read_radiograph, resample
from sites.prepare import prepare

IMAGES = {"modalities": ("image",)}


@pytest.fixture(scope="session")
def dealt(tmp_path_factory, deal_spec):
    """Deal 66 synthetic images to three sites once; tests copy what they change."""
    folder = tmp_path_factory.mktemp("chest")
    network.deal(deal_spec("network", records=66, **IMAGES), folder)
    return folder


@pytest.fixture
def north(dealt, tmp_path):
    return Path(shutil.copytree(dealt / "north", tmp_path / "north"))


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_plan_and_the_registry_name_the_same_loaders():
    assert {source: loader.module for source, loader in SOURCES.items()} == DATASETS
    for source, loader in SOURCES.items():
        assert hasattr(dataset(source), "deal") == (loader.files != "by_site")
    with pytest.raises(ConfigError, match="did you mean 'heart'"):
        dataset("hearts")


def test_breast_cancer_deals_all_569_patients_once(tmp_path, deal_spec):
    breast_cancer.deal(deal_spec("breast_cancer"), tmp_path)
    frames = [pd.read_csv(file) for file in sorted(tmp_path.glob("*/*.csv"))]
    everyone = pd.concat(frames)
    assert len(frames) == 3
    assert len(everyone) == len(everyone.drop_duplicates(breast_cancer.NAMES[0:5])) == 569
    assert everyone["diagnosis"].value_counts().to_dict() == {"benign": 357, "malignant": 212}


@pytest.mark.parametrize("source", ["breast_cancer", "network"])
def test_a_deal_is_the_same_every_time_and_changes_with_the_seed(source, tmp_path, deal_spec):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        dataset(source).deal(deal_spec(source, seed, records=24), tmp_path / name)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "c")


def test_the_deal_command_writes_one_folder_per_site(tmp_path, deal_spec):
    spec = tmp_path / "deal.json"
    spec.write_text(deal_spec("breast_cancer").model_dump_json())
    assert main("sites", COMMANDS, ["deal", "--spec", str(spec), "--out", str(tmp_path / "dealt")]) == 0
    assert {file.name for file in (tmp_path / "dealt").iterdir()} == {"north", "south", "east"}
    spec.write_text(deal_spec("heart").model_dump_json())
    assert main("sites", COMMANDS, ["deal", "--spec", str(spec), "--out", str(tmp_path / "dealt")]) == 2


@pytest.mark.parametrize(
    ("site", "bits", "allocated", "photometric", "spacing"),
    [
        ("north", 12, 16, "MONOCHROME2", 3.2),
        ("south", 8, 8, "MONOCHROME1", 2.24),
        ("east", 16, 16, "MONOCHROME2", 4.8),
    ],
)
def test_every_scanner_writes_its_own_dicom(site, bits, allocated, photometric, spacing, dealt):
    files = sorted((dealt / site).glob("images/*.dcm"))
    header = pydicom.dcmread(files[0])
    assert (header.BitsStored, header.BitsAllocated) == (bits, allocated)
    assert header.PhotometricInterpretation == photometric
    assert list(header.PixelSpacing) == [spacing, spacing]
    assert header.PatientName
    assert header.PatientID
    assert header.pixel_array.shape == (header.Rows, header.Columns)
    assert header.pixel_array.max() > 0.3 * 2**bits


def test_the_scanners_images_come_out_alike(dealt, preparation, deal_spec):
    """Read right, one phantom looks the same whatever the device did to it, but for its grey curve."""
    means = {}
    for site in deal_spec("network").sites:
        ready, rejected = prepare(preparation("network", site=site), dealt / site.name)
        assert {entry.reason for entry in rejected} <= {"no image"}
        assert ready.images.dtype == np.float32
        assert ready.images.shape[1:] == (1, 16, 16)
        assert 0 <= ready.images.min() < ready.images.max() <= 1
        curve = (ready.images.astype(np.float64) ** (1 / site.scanner.contrast)).mean(axis=(0, 1))
        means[site.name] = curve
    for site in ("south", "east"):
        assert np.abs(means[site] - means["north"]).mean() < 0.04
        assert np.corrcoef(means[site].ravel(), means["north"].ravel())[0, 1] > 0.97


def test_second_images_share_their_patient(dealt, preparation):
    ready, _ = prepare(preparation("network"), dealt / "north")
    assert ready.summary.patients < ready.summary.records == len(ready.images)
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()


def test_nothing_that_names_a_patient_is_prepared(dealt, preparation):
    ready, rejected = prepare(preparation("network"), dealt / "north")
    assert list(ready.frame.columns) == ["record", "patient", "label", "role", "with_image"]
    text = ready.summary.model_dump_json() + str(rejected)
    for file in (dealt / "north").glob("images/*.dcm"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        assert str(header.PatientName) not in text
        assert header.PatientID not in text


def test_bad_images_are_quarantined_with_their_reasons(north, preparation):
    before, absent = prepare(preparation("network"), north)
    files = sorted((north / "images").iterdir())
    lines = (north / "patients.csv").read_text().splitlines()
    line = {file.name: i for file in files for i, text in enumerate(lines, 1) if f",{file.name}," in text}
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[: len(whole) // 2])
    files[1].write_bytes(b"%PDF-1.4 a letter, not an image")
    files[2].write_bytes(b"")
    files[3].unlink()
    files[4].write_bytes(files[5].read_bytes())
    (north / "images" / "extra.dcm").write_bytes(whole)
    lines[line[files[6].name] - 1] = lines[line[files[6].name] - 1].rsplit(",", 1)[0] + ",maybe"
    (north / "patients.csv").write_text("\n".join(lines))
    ready, rejected = prepare(preparation("network"), north)
    assert {entry for entry in rejected if entry not in absent} == {
        (files[0].name, 0, "pixel data that is truncated, or compressed in a way this program cannot read"),
        (files[1].name, 0, "not a DICOM file"),
        (files[2].name, 0, "not a DICOM file"),
        ("patients.csv", line[files[3].name], "image: not in the folder"),
        (files[4].name, 0, "the header names another patient than the stay's"),
        ("patients.csv", line[files[6].name], "pneumonia: missing, or neither yes nor no"),
        ("extra.dcm", 0, "no row in patients.csv"),
    }
    assert len(ready.frame) == len(ready.images) == len(before.frame) - 6


def test_one_image_under_two_names_counts_once(north, preparation):
    names = sorted(file.name for file in (north / "images").iterdir())
    twice = next(name for name in names if name.endswith("-2.dcm"))
    first = twice.replace("-2.dcm", "-1.dcm")
    assert first in names
    shutil.copy(north / "images" / first, north / "images" / twice)
    ready, rejected = prepare(preparation("network"), north)
    assert (twice, 0, "the same image as an earlier stay's") in rejected
    assert len(ready.frame) + len(rejected) == len((north / "patients.csv").read_text().splitlines()) - 1


def test_a_folder_without_its_table_is_refused(north, preparation):
    (north / "patients.csv").unlink()
    with pytest.raises(DataError, match=r"patients\.csv: cannot be read"):
        prepare(preparation("network"), north)
    with pytest.raises(DataError, match="expected a folder"):
        prepare(preparation("network"), next(north.glob("images/*.dcm")))


def test_real_dicom_files_are_read_or_refused_with_a_reason(data_root):
    outcomes = {}
    for path in sorted((data_root / "dicom").glob("*.dcm")):
        try:
            outcomes[path.name] = read_radiograph(path).pixels
        except DataError as error:
            outcomes[path.name] = str(error)
    assert outcomes["SC_rgb_16bit.dcm"] == "not a single grey image"
    assert isinstance(outcomes["emri_small_jpeg_2k_lossless_too_short.dcm"], str)
    assert any(isinstance(found, np.ndarray) for found in outcomes.values())


def test_resampling_keeps_lengths():
    """A disc of 60 mm covers the same share of the field whatever the device's spacing."""
    shares = []
    for rows, spacing in ((400, 0.5), (100, 2.0), (67, 3.0)):
        y, x = np.meshgrid(*[(np.arange(rows) - (rows - 1) / 2) * spacing] * 2, indexing="ij")
        disc = (np.hypot(x, y) < 60).astype(np.float32)
        shares.append(float(resample(disc, (spacing, spacing), 160.0, 32).mean()))
    assert shares == pytest.approx([np.pi * 60**2 / 160**2] * 3, rel=0.02)


def test_no_damage_to_a_file_is_a_traceback(dealt, tmp_path):
    """Overwritten and cut headers: an image, or a DataError; any other exception fails here."""
    whole = next((dealt / "south").glob("images/*.dcm")).read_bytes()
    draw = np.random.default_rng(0)
    refused = 0
    for trial in range(300):
        damaged = bytearray(whole)
        for place in draw.integers(132, 900, size=3):
            damaged[place] = draw.integers(256)
        (tmp_path / "damaged.dcm").write_bytes(
            damaged[: draw.integers(len(whole)) if trial % 5 == 0 else None]
        )
        try:
            assert np.isfinite(read_radiograph(tmp_path / "damaged.dcm").pixels).all()
        except DataError:
            refused += 1
    assert 0 < refused < 300
