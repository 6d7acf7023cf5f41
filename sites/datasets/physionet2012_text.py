"""Stays as text, a measurement a line, to events: many files are checked one by one and parsed as one."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from sites.grids import Events
from sites.reading import Rejected

HEADER = re.compile(rb"Time,Parameter,Value\r?\n")
# possessive: a file is read once, also where it is wrong at its end
LINES = re.compile(rb"(?:\d\d:[0-5]\d,[A-Za-z0-9]+,-?\d+(?:\.\d*)?(?:[eE][+-]?\d\d?)?\r?\n)*+")
TYPES = {"time": pa.dictionary(pa.int32(), pa.string()), "parameter": pa.dictionary(pa.int32(), pa.string())}


class Stay(NamedTuple):
    """One file of an archive: its name, the set it is of, and its text."""

    file: str
    set: str
    text: bytes


class Parsed(NamedTuple):
    """Files that have the right form (n), and the others as rejected.

    `files` and `sets` are (n,); `events` name a file and a parameter by index; `unknown` flags files with
    parameters that were not expected (n,), whose events are left out.
    """

    files: list[str]
    sets: list[str]
    events: Events
    unknown: npt.NDArray[np.bool_]
    rejected: list[Rejected]


def parsed(stays: Iterable[Stay], parameters: Sequence[str]) -> Parsed:
    """Parse files of `Time,Parameter,Value`; one wrong line, and its file is rejected."""
    files, sets, bodies, rejected = list[str](), list[str](), list[bytes](), list[Rejected]()
    for stay in stays:
        body, wrong = _body(stay.text)
        if wrong:
            rejected.append(Rejected(stay.file, wrong, "the file is broken: not Time,Parameter,Value"))
            continue
        files.append(stay.file)
        sets.append(stay.set)
        bodies.append(body)
    events, unknown = _events(bodies, {name: index for index, name in enumerate(parameters)})
    return Parsed(files, sets, events, unknown, rejected)


def _body(text: bytes) -> tuple[bytes, int]:
    """Give what follows the header, each line ended; or the number of the first wrong line."""
    header = HEADER.match(text)
    if header is None:
        return b"", 1
    body = text[header.end() :]
    body = body if body.endswith(b"\n") else body + b"\n"
    fits = LINES.match(body)
    end = fits.end() if fits else 0
    if end < len(body) or body == b"\n":
        return b"", 2 + body.count(b"\n", 0, end)
    return body, 0


def _events(bodies: list[bytes], known: dict[str, int]) -> tuple[Events, npt.NDArray[np.bool_]]:
    unknown = np.zeros(len(bodies), dtype=bool)
    if not bodies:
        none = np.empty(0, dtype=np.int64)
        return Events(none, none.astype(np.float64), none, none.astype(np.float64)), unknown
    table = csv.read_csv(
        pa.BufferReader(b"".join(bodies)),
        read_options=csv.ReadOptions(column_names=["time", "parameter", "value"], use_threads=False),
        convert_options=csv.ConvertOptions(column_types={**TYPES, "value": pa.float64()}),
    )
    record = np.repeat(np.arange(len(bodies)), [body.count(b"\n") for body in bodies])
    hours = _meanings(table["time"], lambda time: int(time[:2]) + int(time[3:]) / 60)
    variable = _meanings(table["parameter"], lambda name: known.get(name, -1)).astype(np.int64)
    unknown[record[variable < 0]] = True
    events = Events(record, hours, variable, table["value"].to_numpy())
    return events.where(variable >= 0), unknown


def _meanings(words: pa.ChunkedArray, meaning: Callable[[str], float]) -> npt.NDArray[np.float64]:
    """Look every word up once: there are millions of rows and hundreds of words."""
    found = [
        np.array([meaning(word) for word in chunk.dictionary.to_pylist()], dtype=np.float64)[
            chunk.indices.to_numpy()
        ]
        for chunk in words.chunks
    ]
    return np.concatenate(found)
