"""The PNG and JPEG files of a folder, those inside its zip archives too, which are unpacked nowhere."""

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple
from zipfile import BadZipFile, ZipFile

from coordinator.errors import DataError

ENDINGS: Final = (".png", ".jpg", ".jpeg")
LARGEST: Final = 256 << 20  # bytes of one file; more is an attack on memory


class Place(NamedTuple):
    """Where a file's bytes are, and how many."""

    size: int
    read: Callable[[], bytes]


class Pictures:
    """A folder's images by name: the path below the folder, that of an archive and in it joined.

    `names` are all of them, sorted; `others` maps a file that is no image to why.
    """

    def __init__(self, folder: Path, apart: Collection[str] = ()) -> None:
        """List the images; the archives stay open. `apart` names files that belong to something else."""
        self.others: dict[str, str] = {}
        self._places: dict[str, Place] = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in apart:
                self._add(name, path)
        self.names = tuple(sorted(self._places))
        self._known: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            for word in words(name):
                self._known[word].append(name)

    def called(self, word: str) -> list[str]:
        """List the images that a table may mean by a word: the end of a path, with or without its ending."""
        return self._known.get(word.strip().removeprefix("./"), [])

    def content(self, name: str) -> bytes:
        """Read one image's file.

        Raises:
            DataError: one short reason.
        """
        place = self._places[name]
        if place.size > LARGEST:
            raise DataError("a file too large for an image")
        try:
            return place.read()
        except (OSError, RuntimeError, NotImplementedError, BadZipFile, zlib.error):
            raise DataError("a file that cannot be read, or a damaged or encrypted archive") from None

    def _add(self, name: str, path: Path) -> None:
        if path.suffix.lower() != ".zip":
            self._add_place(name, Place(path.stat().st_size, path.read_bytes))
            return
        try:
            archive = ZipFile(path)
        except (OSError, BadZipFile):
            self.others[name] = "a damaged zip archive"
            return
        for member in archive.infolist():
            if not member.is_dir():
                place = Place(member.file_size, partial(archive.read, member))
                self._add_place(f"{name}/{member.filename}", place)

    def _add_place(self, name: str, place: Place) -> None:
        if PurePosixPath(name).suffix.lower() in ENDINGS:
            self._places[name] = place
        else:
            self.others[name] = "neither a PNG nor a JPEG file"


def words(name: str) -> Iterator[str]:
    """Give what a table may call a file: each end of its path, with and without the file's ending."""
    path = PurePosixPath(name)
    for start in range(len(path.parts)):
        end = PurePosixPath(*path.parts[start:])
        yield str(end)
        if end.suffix:
            yield str(end.with_suffix(""))
