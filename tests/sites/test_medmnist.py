"""MedMNIST archives: dealt by a partition, the source's own test set kept apart."""

import zipfile

import numpy as np
import pytest

from coordinator.config import Columns, Data, Partition, Site, Split
from coordinator.errors import DataError
from coordinator.specs import Deal, Preparation
from sites.datasets import medmnist
from sites.npz_rows import Rows, append
from sites.prepare import prepare

SITES = tuple(Site(name=name) for name in ("north", "south", "east", "west"))
SIZES = {"train": 120, "val": 30, "test": 50}


def arrays(*, colours=False, classes=2, side=28):
    draw = np.random.default_rng(1)
    found = {}
    for split, size in SIZES.items():
        shape = (size, side, side, 3) if colours else (size, side, side)
        found[f"{split}_images"] = draw.integers(0, 256, shape, np.uint8)
        found[f"{split}_labels"] = draw.integers(0, classes, (size, 1)).astype(np.uint8)
    return found


def archive(folder, **how):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "some.npz", **arrays(**how))
    return folder / "some.npz"


def preparation(*, pixels=28, columns=None, source_test=True):
    data = Data(source="medmnist", pixels=pixels, columns=columns, modalities=("image",))
    return Preparation(
        site=SITES[0], data=data, modalities=("image",), split=Split(source_test=source_test), split_seed=0,
        min_patients=10, min_cell=5,
    )  # fmt: skip


def deal(source, out, **partition):
    data = Data(source="medmnist", path=source.name, partition=Partition(**partition))
    medmnist.deal(Deal(data=data, sites=SITES, seed=0, path=str(source)), out)
    return out


def test_the_sources_test_set_is_tested_and_the_rest_developed_on(tmp_path):
    source = archive(tmp_path)
    ready, rejected = prepare(preparation(), source)
    assert rejected == []
    roles = ready.frame["role"].value_counts()
    assert roles["test"] == SIZES["test"]
    assert roles["development"] + roles["auxiliary"] == SIZES["train"] + SIZES["val"]
    raw = arrays()
    tested = ready.images[(ready.frame["role"] == "test").to_numpy()][:, 0]
    assert {image.tobytes() for image in tested} == {image.tobytes() for image in raw["test_images"]}
    by_image = dict(zip(map(np.ndarray.tobytes, ready.images[:, 0]), ready.frame["label"], strict=True))
    for split in SIZES:
        for image, label in zip(raw[f"{split}_images"], raw[f"{split}_labels"][:, 0], strict=True):
            assert by_image[image.tobytes()] == label


def test_each_site_gets_its_own_archive_and_each_image_goes_to_one(tmp_path):
    source = archive(tmp_path / "all")
    dealt = deal(source, tmp_path / "dealt", label_skew=0.5)
    shares, seen = [], []
    for site in SITES:
        with np.load(dealt / site.name / "some.npz", allow_pickle=False) as found:
            assert sorted(found) == sorted(arrays())
            labels = np.concatenate([found[f"{split}_labels"] for split in SIZES])
            shares.append(labels.mean())
            seen += [image.tobytes() for split in SIZES for image in found[f"{split}_images"]]
    assert max(shares) - min(shares) > 0.15
    raw = arrays()
    assert sorted(seen) == sorted(image.tobytes() for split in SIZES for image in raw[f"{split}_images"])
    deal(source, tmp_path / "again", label_skew=0.5)
    for site in SITES:
        again = tmp_path / "again" / site.name / "some.npz"
        assert again.read_bytes() == (dealt / site.name / "some.npz").read_bytes()


def test_colours_and_several_classes(tmp_path):
    columns = Columns(
        patient="image", label="label", positive=("2", "3"), negative=("0", "1"), missing=("4",)
    )
    source = archive(tmp_path, colours=True, classes=5)
    ready, rejected = prepare(preparation(columns=columns, pixels=16), source)
    raw = arrays(colours=True, classes=5)
    labels = np.concatenate([raw[f"{split}_labels"][:, 0] for split in SIZES])
    assert ready.images.shape == ((labels < 4).sum(), 3, 16, 16)
    assert int(ready.frame["label"].sum()) == np.isin(labels, (2, 3)).sum()
    assert {each.reason for each in rejected} == {"label: no class for an outcome or none"}
    assert len(rejected) == (labels == 4).sum()


def test_further_classes_are_an_error_until_the_study_names_them(tmp_path):
    source = archive(tmp_path, classes=9)
    found = r"some\.npz: found '2', '3', '4', '5', '6', '7', \.\.\. in 'label'.*expected two classes"
    with pytest.raises(DataError, match=found):
        prepare(preparation(), source)
    with pytest.raises(DataError, match=found):
        deal(source, tmp_path / "dealt")
    assert not (tmp_path / "dealt").exists()
    rest = Columns(patient="image", label="label", positive=("4",), negative=tuple("01235678"))
    ready, rejected = prepare(preparation(columns=rest), source)
    raw = np.concatenate([arrays(classes=9)[f"{split}_labels"][:, 0] for split in SIZES])
    assert rejected == []
    assert int(ready.frame["label"].sum()) == (raw == 4).sum()


def test_what_is_no_such_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="no array 'train_labels'"):
        prepare(preparation(), tmp_path / "a.npz")
    several = arrays()
    several["train_labels"] = np.zeros((SIZES["train"], 14), np.uint8)
    np.savez(tmp_path / "b.npz", **several)
    with pytest.raises(DataError, match="several findings an image"):
        prepare(preparation(), tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"found a\.npz, b\.npz, expected one"):
        prepare(preparation(), tmp_path)
    floats = arrays() | {"val_images": np.zeros((SIZES["val"], 28, 28))}
    np.savez(tmp_path / "b.npz", **floats)
    with pytest.raises(DataError, match="expected 8-bit"):
        prepare(preparation(), tmp_path / "b.npz")


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    evil = arrays() | {"train_labels": np.array([Trap()] * SIZES["train"], dtype=object)}
    np.savez(tmp_path / "c.npz", **evil)
    with pytest.raises(DataError, match="of plain numbers"):
        prepare(preparation(), tmp_path / "c.npz")


def test_a_damaged_archive_quarantines_what_it_holds_no_more(tmp_path):
    source = archive(tmp_path)
    content = bytearray(source.read_bytes())
    start = content.index(b"test_images.npy") + 2000
    content[start : start + 400] = bytes(400)
    source.write_bytes(bytes(content))
    ready, rejected = prepare(preparation(source_test=False), source)
    assert {each.reason for each in rejected} == {"a damaged archive"}
    assert {each.file for each in rejected} == {"some.npz/test_images"}
    assert len(ready.frame) + len(rejected) == sum(SIZES.values())


def test_rows_are_read_and_written_one_by_one(tmp_path):
    rows = np.arange(7 * 12, dtype="<u2").reshape(7, 3, 4)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        append(file, "a", rows.shape, rows.dtype, iter(rows))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert (found["a"] == rows).all()
    read = Rows(tmp_path / "a.npz", "a")
    assert (len(read), read.shape, read.dtype) == (7, (7, 3, 4), rows.dtype)
    for row in (0, 3, 6, 2):
        assert (read[row] == rows[row]).all()


def test_pneumonia_is_read_as_published(data_root):
    ready, rejected = prepare(preparation(), data_root / "medmnist" / "pneumoniamnist.npz")
    assert rejected == []
    assert ready.images.shape == (4708 + 524 + 624, 1, 28, 28)
    tests = ready.frame[ready.frame["role"] == "test"]
    assert len(tests) == 624
    assert tests["label"].mean() == pytest.approx(390 / 624)
