"""What a record is made of: only what the task reads is kept, images are decoded one by one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from coordinator.specs import Preparation
from sites.arrays import growing
from sites.prepared import IMAGES
from sites.reading import Images, Reading, Rejected

Array = npt.NDArray[Any]


def without(spec: Preparation, reading: Reading) -> Reading:
    """Leave out the modalities that the task does not read.

    Raises:
        DataError: the loader gave none of one that it does.
    """
    given = {
        "table": bool(reading.features),
        "series": reading.series is not None,
        "image": reading.images is not None,
    }
    for modality in spec.modalities:
        if not given[modality]:
            raise DataError(
                f"'{spec.data.source}' gave no {modality} at '{spec.site.name}'; "
                "check what the study asks for"
            )
    wanted = set(spec.modalities)
    return replace(
        reading,
        features=reading.features if "table" in wanted else (),
        series=reading.series if "series" in wanted else None,
        images=reading.images if "image" in wanted else None,
    )


def decoded(
    images: Images | None, frame: pd.DataFrame, folder: Path | None
) -> tuple[Array | None, npt.NDArray[np.bool_], list[Rejected]]:
    """Decode the images of the frame's rows, in order, into the folder (into memory without one).

    Adds the column `with_image`. Returns the images of the rows that are kept, which these are, and the
    others as rejected.
    """
    kept, rejected = np.ones(len(frame), dtype=bool), list[Rejected]()
    if images is None:
        return None, kept, rejected
    present = np.ones(len(frame), dtype=bool)
    found = _Sink(images, folder)
    with found as sink:
        for index, place in enumerate(frame["place"].tolist()):
            try:
                image = images.decode(place)
            except DataError as reason:
                kept[index] = False
                rejected.append(Rejected(frame["file"][index], int(frame["row"][index]), str(reason)))
                continue
            present[index] = image is not None
            sink.append(np.zeros(images.shape, images.dtype) if image is None else image)
    frame["with_image"] = present
    return found.result(), kept, rejected


def series_of(reading: Reading, frame: pd.DataFrame) -> Array | None:
    """Give the grids of the frame's rows, in order."""
    if reading.series is None:
        return None
    return reading.series.values[frame["place"].to_numpy(dtype=np.int64)]


class _Sink:
    """Where decoded images go: a file of the folder, or a list."""

    def __init__(self, images: Images, folder: Path | None) -> None:
        self._images, self._rows = images, list[Array]()
        self._path = folder and folder / IMAGES
        self._file = growing(self._path, images.shape, images.dtype) if self._path else None

    def __enter__(self) -> Any:
        return self._file.__enter__() if self._file else self._rows

    def __exit__(self, *error: Any) -> None:
        if self._file:
            self._file.__exit__(*error)

    def result(self) -> Array:
        if self._path:
            array: Array = np.load(self._path, mmap_mode="r", allow_pickle=False)
            return array
        return np.array(self._rows, self._images.dtype).reshape(-1, *self._images.shape)
