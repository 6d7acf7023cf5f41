"""The challenge's archives and outcomes: read in one pass, never unpacked, and dealt to sites by ICU type."""

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pandas as pd

from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.datasets.physionet2012_text import Stay
from sites.owners import owner, owners
from sites.tables import choices, read_cells

SETS: Final = ("a", "b")
ICU_TYPES: Final = {"1": "coronary", "2": "cardiac_surgery", "3": "medical", "4": "surgical"}
ICU_TYPE = re.compile(rb"\n00:00,ICUType,([1-4])\r?\n")
DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)
STAY_ID, DIED = "RecordID", "In-hospital_death"


def sets_in(path: Path) -> list[str]:
    """List the sets that a folder has archives of.

    Raises:
        DataError: none.
    """
    found = [name for name in SETS if any(path.glob(f"set-{name}.tar*"))]
    if not found:
        raise DataError(
            f"{path}: no set-a.tar or set-b.tar (also .xz, .gz) here; config/studies/README.md says where "
            "to get the archives"
        )
    return found


def stays_in(path: Path, name: str) -> Iterator[Stay]:
    """Give a set's files one by one, in the archive's order; folders are passed over.

    Raises:
        DataError: the archive is damaged, or there are several.
    """
    archives = sorted(path.glob(f"set-{name}.tar*"))
    if len(archives) != 1:
        raise DataError(f"{path}: {len(archives)} archives of set {name}, expected 1; remove the others")
    try:
        with tarfile.open(archives[0], "r|*") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield Stay(PurePosixPath(member.name).name, name, content.read())
    except DAMAGED as error:
        raise DataError(f"{archives[0]}: damaged ({error}); download it again") from None


def outcomes_of(path: Path, name: str) -> pd.DataFrame:
    """Read a set's outcomes: file, row, stay_id (text), died (0, 1; null where neither, or contradictory).

    Raises:
        DataError: the file is missing or cannot be used.
    """
    frame, _ = read_cells(path / f"Outcomes-{name}.txt", [STAY_ID, DIED])
    frame["stay_id"] = frame[STAY_ID].str.strip()
    frame["died"], _ = choices(frame[DIED], {"0": 0, "1": 1})
    told = frame.groupby("stay_id")["died"].transform("nunique")
    frame["died"] = frame["died"].where(told == 1, None)
    return frame[["file", "row", "stay_id", "died"]]


def deal_archives(spec: Deal, out: Path) -> None:
    """Write every site's own stays as tar archives, and their outcomes.

    What cannot be told to be anybody's (a file without an ICU type, an outcome without a file) goes to the
    first site, where preparation puts it in quarantine; it must not vanish.
    """
    assert spec.path is not None  # coordinator.consistency
    root, names = Path(spec.path), [site.name for site in spec.sites]
    taken = owners(spec.sites, spec.data.source)
    for site in names:
        (out / site).mkdir(parents=True)
    for name in sets_in(root):
        at: dict[str, str | None] = {}
        with ExitStack() as stack:
            archives = {
                site: stack.enter_context(tarfile.open(out / site / f"set-{name}.tar", "w")) for site in names
            }
            for stay in stays_in(root, name):
                found = ICU_TYPE.search(stay.text)
                mine = owner(taken, [ICU_TYPES[found[1].decode()]]) if found else names[0]
                at[PurePosixPath(stay.file).stem] = mine
                if mine is not None:
                    _add(archives[mine], f"set-{name}/{stay.file}", stay.text)
        _deal_outcomes(root / f"Outcomes-{name}.txt", at, names, out)


def _add(archive: tarfile.TarFile, name: str, text: bytes) -> None:
    member = tarfile.TarInfo(name)  # with no time and no owner: the same stays give the same bytes
    member.size = len(text)
    archive.addfile(member, io.BytesIO(text))


def _deal_outcomes(path: Path, at: dict[str, str | None], names: list[str], out: Path) -> None:
    try:
        header, *rows = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as outcomes ({error}); download it again") from None
    owned = np.array([at.get(row.partition(",")[0].strip(), names[0]) for row in rows], dtype=object)
    for name in names:
        mine = (row for row, site in zip(rows, owned, strict=True) if site == name)
        (out / name / path.name).write_text(header + "".join(mine), encoding="utf-8")
