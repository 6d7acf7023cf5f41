"""PNG and JPEG images beside a table, loose or in a zip; HAM10000 as four hospitals would have it."""

import csv
import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from coordinator.config import Columns, Data, Partition, Site
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Deal
from sites.datasets import image_folder
from sites.pictures import Pictures
from sites.prepare import prepare, prepare_with_ids
from tests.sites.preparations import found, preparation_of

COLUMNS = Columns(
    patient="person", record="key", image="photo", site="camera", label="finding", positive=("bad",),
    negative=("good",), numeric=("age",), categorical=("place",), age="age",
)  # fmt: skip
SITES = (Site(name="east"), Site(name="west", select={"image_folder": ("West 1", "West 2")}))
HAM = {"vidir_molemax": 3954, "vidir_modern": 3363, "rosendahl": 2259, "vienna_dias": 439}


def photo(number, ending="PNG", size=(40, 30)):
    content = io.BytesIO()
    draw = np.random.default_rng(number)
    Pillow.fromarray(draw.integers(0, 255, (*size[::-1], 3), np.uint8)).save(content, ending)
    return content.getvalue()


def write_table(folder, rows):
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "key", "photo", "camera", "finding", "age", "place"])
        writer.writerows(rows)


def rows_of(count=40):
    cameras = ("east", "West 1", "West 2")
    return [
        [f"p{i // 2}", f"k{i}", f"img{i:03d}", cameras[i % 3], ("bad", "good")[i // 2 % 2], 20 + i, "arm"]
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path):
    """Write 40 rows, and their images: half in a zip, half loose in folders below."""
    folder = tmp_path / "all"
    (folder / "loose" / "deep").mkdir(parents=True)
    write_table(folder, rows_of())
    with zipfile.ZipFile(folder / "some.zip", "w") as archive:
        for i in range(20):
            archive.writestr(f"photos/img{i:03d}.png", photo(i))
    for i in range(20, 40):
        (folder / "loose" / "deep" / f"img{i:03d}.JPG").write_bytes(photo(i, "JPEG"))
    return folder


def data_of(*modalities, columns=COLUMNS, **changes):
    modalities = modalities or ("image",)
    return Data(source="image_folder", columns=columns, pixels=16, modalities=modalities, **changes)


def preparation(*modalities, **changes):
    return preparation_of(SITES[0], data_of(*modalities, **changes), min_patients=5)


def test_images_are_found_wherever_they_lie(folder):
    ready, rejected = prepare(preparation(), folder)
    assert rejected == []
    assert ready.images.shape == (40, 3, 16, 16)
    assert ready.images.dtype == np.uint8
    assert ready.summary.patients == 20
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["loose"]  # nothing is unpacked


def test_new_images_need_no_outcome(folder):
    known, ids, _ = prepare_with_ids(preparation(), folder)
    table = pd.read_csv(folder / "metadata.csv").drop(columns="finding")
    table.to_csv(folder / "metadata.csv", index=False)
    new, new_ids, rejected = prepare_with_ids(preparation(), folder, new=True)
    assert not rejected
    assert new_ids.tolist() == ids.tolist()
    assert np.array_equal(new.images, known.images)
    with pytest.raises(DataError, match="finding"):
        prepare(preparation(), folder)


@pytest.mark.parametrize(
    "word", ["img003", "img003.png", "photos/img003", "some.zip/photos/img003.png", " ./img003.png "]
)
def test_a_table_may_call_an_image_by_any_end_of_its_path(word, folder):
    assert Pictures(folder).called(word) == ["some.zip/photos/img003.png"]
    assert Pictures(folder).called("mg003") == []


def test_what_cannot_be_used_is_quarantined_with_its_reason(folder):
    rows = rows_of()
    rows[0][2] = "img001"  # two rows, one image
    rows[4][2] = "img999"
    rows[5][2] = ""
    rows[6][4] = "perhaps"
    write_table(folder, rows)
    (folder / "loose" / "img010.png").write_bytes(photo(10))
    (folder / "loose" / "deep" / "img020.JPG").write_bytes(photo(20, "JPEG")[:300])
    (folder / "loose" / "deep" / "img021.JPG").write_bytes(b"no image")
    (folder / "notes.txt").write_text("a letter")
    (folder / "broken.zip").write_bytes(b"PK and no more")
    ready, rejected = prepare(preparation(), folder)
    assert found(rejected) == {
        ("metadata.csv", 2, "photo: named in several rows"),
        ("metadata.csv", 3, "photo: named in several rows"),
        ("metadata.csv", 6, "photo: not in the folder"),
        ("metadata.csv", 7, "photo: empty"),
        ("metadata.csv", 8, "finding: missing, or no word for an outcome or none"),
        ("metadata.csv", 12, "photo: several images of this name"),
        ("metadata.csv", 22, "a damaged or truncated image"),
        ("metadata.csv", 23, "neither a PNG nor a JPEG image"),
        ("some.zip/photos/img000.png", 0, "no row in metadata.csv"),
        ("some.zip/photos/img004.png", 0, "no row in metadata.csv"),
        ("some.zip/photos/img005.png", 0, "no row in metadata.csv"),
        ("notes.txt", 0, "neither a PNG nor a JPEG file"),
        ("broken.zip", 0, "a damaged zip archive"),
    }
    assert len(ready.frame) == 40 - 8


def test_an_absent_image_is_masked_where_the_table_is_read_too(folder):
    rows = rows_of()
    rows[4][2], rows[5][2] = "img999", ""
    write_table(folder, rows)
    ready, rejected = prepare(preparation("table", "image"), folder)
    assert {each.reason for each in rejected} == {"no row in metadata.csv"}
    absent = ready.frame.loc[~ready.frame["with_image"]]
    assert sorted(absent["age"]) == [24, 25]
    assert not ready.images[absent.index].any()
    assert len(ready.frame) == 40


def test_each_site_is_dealt_its_rows_and_their_images_alone(folder, tmp_path, capsys):
    (folder / "loose" / "extra.png").write_bytes(photo(77))
    spec = Deal(data=data_of(path="all"), sites=SITES, seed=0, path=str(folder))
    image_folder.deal(spec, tmp_path / "dealt")
    assert "1 files are named by no row" in capsys.readouterr().out
    for name, count in (("east", 14), ("west", 26)):
        site = tmp_path / "dealt" / name
        assert sorted(path.name for path in site.iterdir()) == ["images.zip", "metadata.csv"]
        with zipfile.ZipFile(site / "images.zip") as archive:
            assert len(archive.namelist()) == count
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        ready, rejected = prepare(preparation(), site)
        assert rejected == []
        assert len(ready.frame) == count
    image_folder.deal(spec, tmp_path / "again")
    for path in (tmp_path / "dealt").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "dealt")).read_bytes()


def test_without_a_site_column_patients_are_dealt(folder, tmp_path):
    columns = COLUMNS.model_copy(update={"site": None})
    data = data_of(columns=columns, path="all", partition=Partition(quantity_skew=2.0))
    image_folder.deal(Deal(data=data, sites=SITES, seed=0, path=str(folder)), tmp_path / "dealt")
    people = [set(pd.read_csv(path)["person"]) for path in (tmp_path / "dealt").glob("*/metadata.csv")]
    assert not people[0] & people[1]
    assert len(people[0] | people[1]) == 20


def test_a_folder_that_cannot_be_meant_is_refused(folder):
    with pytest.raises(ConfigError, match="which column names the image"):
        prepare(preparation(columns=COLUMNS.model_copy(update={"image": None})), folder)
    with pytest.raises(DataError, match="expected a folder"):
        prepare(preparation(), folder / "metadata.csv")
    write_table(folder, [[*row[:2], f"x{row[2]}", *row[3:]] for row in rows_of()])
    with pytest.raises(DataError, match="no row's 'photo' is an image of the folder"):
        prepare(preparation(), folder)


def test_preparing_holds_one_image_at_a_time(tmp_path):
    """Sixty images of 0.2 MB each when resized: 12 MB in all, of which a few may be held."""
    folder = tmp_path / "many"
    folder.mkdir()
    write_table(folder, rows_of(60))
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for i in range(60):
            archive.writestr(f"img{i:03d}.jpg", photo(i % 7, "JPEG", size=(256, 256)))
    (tmp_path / "out").mkdir()
    prepare(preparation(), folder, tmp_path / "out")  # what is loaded late is loaded
    (tmp_path / "out" / "images.npy").unlink()
    spec = preparation().model_copy(update={"data": data_of().model_copy(update={"pixels": 256})})
    tracemalloc.start()
    ready, rejected = prepare(spec, folder, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rejected == []
    assert ready.images.nbytes == 60 * 3 * 256**2
    assert peak < 3 << 20


@pytest.fixture(scope="session")
def ham(data_root, tmp_path_factory):
    """Deal HAM10000, and prepare its smallest site with image and table."""
    from coordinator.plan import _deal, _preparations
    from coordinator.study import read_study

    root = Path(__file__).resolve().parents[2]
    study, sites, _ = read_study([root / "config/studies/ham10000.yaml"], [f"data_root={data_root}"])
    out = tmp_path_factory.mktemp("ham")
    spec = _deal(study, sites, "melanoma_ehr", study.tasks["melanoma_ehr"])
    image_folder.deal(spec, out)
    _, preparation = _preparations(study, sites, "melanoma_ehr")["vienna_dias"]
    return out, prepare(preparation, out / "vienna_dias")


def test_ham10000_is_dealt_without_unpacking(ham):
    out, _ = ham
    counts = {}
    for site in HAM:
        with zipfile.ZipFile(out / site / "images.zip") as archive:
            counts[site] = len(archive.namelist())
        assert len(list((out / site).iterdir())) == 2
    assert counts == HAM


def test_ham10000_gives_image_age_sex_and_site_of_each_lesion(ham):
    _, (ready, rejected) = ham
    assert rejected == []
    assert ready.images.shape == (439, 3, 64, 64)
    assert ready.frame["with_image"].all()
    assert ready.images.std(axis=(1, 2, 3)).min() > 1
    assert int(ready.frame["label"].sum()) == 67
    assert set(ready.frame["sex"].dropna()) == {"female", "male"}
    assert "unknown" not in set(ready.frame["localization"].dropna())
    assert ready.frame["age"].between(0, 120).sum() > 400
    assert ready.summary.patients == 278
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()
    text = ready.summary.model_dump_json()
    assert "HAM_" not in text
    assert "ISIC_" not in text + "".join(map(str, ready.frame.columns))
