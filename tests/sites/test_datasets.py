import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from coordinator.command_line import main
from coordinator.errors import ConfigError, DataError
from coordinator.plan import SOURCES
from sites.__main__ import COMMANDS
from sites.datasets import DATASETS, breast_cancer, chest_xray_synthetic, dataset
from sites.imaging import read_radiograph, resample
from sites.prepare import prepare

CHEST = "chest_xray_synthetic"


@pytest.fixture(scope="session")
def dealt(tmp_path_factory, deal_spec):
    """Deal 66 synthetic images to three sites once; tests copy what they change."""
    folder = tmp_path_factory.mktemp("chest")
    chest_xray_synthetic.deal(deal_spec(CHEST, records=66), folder)
    return folder


@pytest.fixture
def north(dealt, tmp_path):
    for file in (dealt / "north").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_plan_and_the_registry_name_the_same_loaders():
    assert {source: module for source, (module, _, _) in SOURCES.items()} == DATASETS
    for source, (_, _, is_dealt) in SOURCES.items():
        assert hasattr(dataset(source), "deal") == is_dealt
    with pytest.raises(ConfigError, match="did you mean 'heart'"):
        dataset("hearts")


def test_breast_cancer_deals_all_569_patients_once(tmp_path, deal_spec):
    breast_cancer.deal(deal_spec("breast_cancer"), tmp_path)
    frames = [pd.read_csv(file) for file in sorted(tmp_path.glob("*/*.csv"))]
    everyone = pd.concat(frames)
    assert len(frames) == 3
    assert len(everyone) == len(everyone.drop_duplicates(breast_cancer.NAMES[0:5])) == 569
    assert everyone["diagnosis"].value_counts().to_dict() == {"benign": 357, "malignant": 212}


@pytest.mark.parametrize("source", ["breast_cancer", CHEST])
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
    files = sorted((dealt / site).glob("*.dcm"))
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
    for site in deal_spec(CHEST).sites:
        ready, rejected = prepare(preparation(CHEST, site=site), dealt / site.name)
        assert rejected == []
        assert ready.images.dtype == np.float32
        assert ready.images.shape[1:] == (1, 16, 16)
        assert 0 <= ready.images.min() < ready.images.max() <= 1
        curve = (ready.images.astype(np.float64) ** (1 / site.scanner.contrast)).mean(axis=(0, 1))
        means[site.name] = curve
    for site in ("south", "east"):
        assert np.abs(means[site] - means["north"]).mean() < 0.04
        assert np.corrcoef(means[site].ravel(), means["north"].ravel())[0, 1] > 0.97


def test_second_images_share_their_patient(dealt, preparation):
    ready, _ = prepare(preparation(CHEST), dealt / "north")
    assert ready.summary.patients < ready.summary.records == len(ready.images)
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()


def test_nothing_that_names_a_patient_is_prepared(dealt, preparation):
    ready, rejected = prepare(preparation(CHEST), dealt / "north")
    assert list(ready.frame.columns) == ["record", "patient", "label", "role"]
    text = ready.summary.model_dump_json() + str(rejected)
    for file in (dealt / "north").glob("*.dcm"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        assert str(header.PatientName) not in text
        assert header.PatientID not in text


def test_bad_images_are_quarantined_with_their_reasons(north, preparation):
    files = sorted(file.name for file in north.glob("*.dcm"))
    whole = (north / files[0]).read_bytes()
    (north / files[0]).write_bytes(whole[: len(whole) // 2])
    (north / files[1]).write_bytes(b"%PDF-1.4 a letter, not an image")
    (north / files[2]).write_bytes(b"")
    (north / files[3]).unlink()
    (north / "extra.dcm").write_bytes(whole)
    lines = (north / "labels.csv").read_text().splitlines()
    lines[5] = lines[5].split(",")[0] + ",maybe"
    (north / "labels.csv").write_text("\n".join(lines))
    ready, rejected = prepare(preparation(CHEST), north)
    assert {(entry.file, entry.row, entry.reason) for entry in rejected} == {
        (files[0], 0, "pixel data that is truncated, or compressed in a way this program cannot read"),
        (files[1], 0, "not a DICOM file"),
        (files[2], 0, "not a DICOM file"),
        ("labels.csv", 5, "image: not in the folder"),
        ("labels.csv", 6, "finding: missing, or neither normal nor opacity"),
        ("extra.dcm", 0, "no row in labels.csv"),
    }
    assert len(ready.frame) == len(ready.images) == len(files) - 5


def test_one_image_under_two_names_counts_once(north, preparation):
    first = sorted(north.glob("*.dcm"))[0]
    (north / "again.dcm").write_bytes(first.read_bytes())
    lines = (north / "labels.csv").read_text().splitlines()
    label = next(line for line in lines if line.startswith(first.name)).split(",")[1]
    (north / "labels.csv").write_text("\n".join([*lines, f"again.dcm,{label}"]))
    ready, _ = prepare(preparation(CHEST), north)
    assert ready.summary.quarantined == {"record id: the same row again": 1}


def test_a_folder_without_labels_is_refused(north, preparation):
    (north / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"labels\.csv: cannot be read"):
        prepare(preparation(CHEST), north)
    with pytest.raises(DataError, match="expected a folder"):
        prepare(preparation(CHEST), next(north.glob("*.dcm")))


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
    whole = next((dealt / "south").glob("*.dcm")).read_bytes()
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
