"""MedMNIST (Yang 2023): one .npz archive of small images and their classes, as train, val and test sets.

`test` is the source's own test set (`split: {source_test: true}` tests on it), train and val are developed
on. The classes are 0 and 1, or the study's `data.columns` says which are `positive` and which `negative`, or
names them all in `classes`.
Every image is taken for one patient's: the archive names none, and only its test set is known to be apart.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as Pillow

from coordinator.config import Columns, Data, Site
from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.columns import known_as, outcomes
from sites.npz_rows import Rows, append
from sites.partition import partition
from sites.reading import PLACE, SOURCE_TEST, Images, Reading
from sites.resizing import SHARPER
from sites.tables import reject

SPLITS: Final = ("train", "val", "test")
BINARY: Final = Columns(patient="image", label="label", positive=("1",), negative=("0",))
Integers = npt.NDArray[np.int64]


def deal(spec: Deal, out: Path) -> None:
    """Write each site's images and classes to `out`/SITE/NAME.npz, in the archive's own sets and order.

    Raises:
        DataError: the archive is not one of MedMNIST's.
    """
    source = archive_of(Path(str(spec.path)))
    classes = classes_of(source)
    found = known_as(_outcomes(classes, spec.data, source))
    sites = [site.name for site in spec.sites]
    hands = partition(found, sites, spec.data.partition, spec.seed, spec.data.source)
    for site, hand in hands.items():
        (out / site).mkdir(parents=True)
        with ZipFile(out / site / source.name, "w") as archive:
            for split, rows in _by_split(hand, classes):
                images, chosen = Rows(source, f"{split}_images"), classes[split][rows, None]
                shape = (len(rows), *images.shape[1:])
                append(archive, f"{split}_images", shape, images.dtype, (images[row] for row in rows))
                append(archive, f"{split}_labels", chosen.shape, chosen.dtype, chosen)


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's archive, or the one archive in a folder.

    Raises:
        DataError: the archive is not one of MedMNIST's, or has classes that the study does not name.
    """
    source = archive_of(path)
    classes = classes_of(source)
    places = [(split, row) for split in SPLITS for row in range(len(classes[split]))]
    # in this order, which is also that of the ids, an archive is read once from front to back
    ids = [f"{SPLITS.index(split)}_{split}_{row:07d}" for split, row in places]
    files = [f"{source.name}/{split}_images" for split, _ in places]
    columns = (files, [row + 1 for _, row in places], ids, ids, _outcomes(classes, data, source))
    frame = pd.DataFrame(dict(zip(PLACE, columns, strict=True)))
    frame[SOURCE_TEST] = [split == "test" for split, _ in places]
    frame["place"] = np.arange(len(places))
    absent = frame["label"].isna().to_numpy(dtype=bool)
    frame, rejected = reject(frame, {"label: no class for an outcome or none": absent}, [])
    kept = [places[place] for place in frame.pop("place")]
    return Reading(frame, images=_images(source, kept, data.pixels), rejected=rejected)


def archive_of(path: Path) -> Path:
    """Give the archive itself: the path, or the one archive in a folder.

    Raises:
        DataError: the folder has none, or several.
    """
    found = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if len(found) != 1:
        names = ", ".join(each.name for each in found[:4]) or "none"
        raise DataError(f"{path}: found {names}, expected one .npz archive; name the file")
    return found[0]


def classes_of(source: Path) -> dict[str, Integers]:
    """Read the class of every image, by set.

    Raises:
        DataError: there is not one class for each image.
    """
    found = {}
    for split in SPLITS:
        classes, images = (Rows(source, f"{split}_{what}") for what in ("labels", "images"))
        if classes.shape not in ((len(images),), (len(images), 1)) or classes.dtype.kind not in "iu":
            raise DataError(
                f"{source}: {split}_labels of {classes.dtype} {classes.shape} for {len(images)} images, "
                "expected one class for each; sets of several findings an image are not read"
            )
        found[split] = np.array([int(classes[row].reshape(())) for row in range(len(classes))], np.int64)
    return found


def _outcomes(classes: Mapping[str, Integers], data: Data, source: Path) -> npt.NDArray[np.object_]:
    cells = pd.Series(np.concatenate([classes[split] for split in SPLITS])).astype(str)
    return outcomes(cells, data.columns or BINARY, source)


def _by_split(hand: Integers, classes: Mapping[str, Integers]) -> Iterator[tuple[str, Integers]]:
    start = 0
    for split in SPLITS:
        stop = start + len(classes[split])
        yield split, hand[(hand >= start) & (hand < stop)] - start
        start = stop


def _images(source: Path, places: list[tuple[str, int]], pixels: int) -> Images:
    arrays = {split: Rows(source, f"{split}_images") for split in SPLITS}
    kinds = {(array.shape[1:], str(array.dtype)) for array in arrays.values()}
    size, dtype = next(iter(kinds))
    if len(kinds) > 1 or dtype != "uint8" or len(size) not in (2, 3) or size[2:] not in ((), (3,)):
        raise DataError(f"{source}: images of {sorted(kinds)}, expected 8-bit grey or RGB of one size")

    def decode(place: int) -> npt.NDArray[np.uint8]:
        split, row = places[place]
        image: npt.NDArray[Any] = arrays[split][row]
        if image.shape[:2] != (pixels, pixels):
            image = np.asarray(Pillow.fromarray(image).resize((pixels, pixels), SHARPER))
        return np.ascontiguousarray(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))

    return Images((1 if len(size) == 2 else 3, pixels, pixels), "uint8", decode)
