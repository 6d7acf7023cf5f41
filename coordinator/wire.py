"""The recorded wire: what passed the coordinator in one round and in the final scoring, for attacks.

Only a study that says `record_wire: true`, with sites that allow it, has one. It lies under ``state/``, never
among the results, as safetensors: a tensor's name says its message's number, kind, site, field and position.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from coordinator.errors import DataError
from coordinator.outcome import write_bytes
from coordinator.protocol.messages import Array, Message, Position

WIRE: Final = "wire.safetensors"
SCORING: Final = -1  # the trial of the final scoring's positions
# kinds that carry records, gradients or models; sealed parts are ciphertext, and Verdicts say nothing
KINDS: Final = frozenset({"Activations", "Features", "HeadGradient", "CutGradient", "Weights", "Gradients"})


@dataclass(frozen=True)
class Heard:
    """One message's arrays by field, and who sent or got it; in the order in which they passed."""

    kind: str
    site: str
    position: Position
    arrays: dict[str, Array]


class Recorder:
    """Keeps a round of the last trial, and the final scoring, until the run's end.

    A trial that is given up before that round leaves the last one that it had. The model that went down in
    the round before is kept with it: a site's update is the difference from it.
    """

    def __init__(self, round_: int | None, trials: int) -> None:
        """Keep nothing yet; `round_` counts from 0."""
        self._trial, self._wanted = trials - 1, -1 if round_ is None else round_
        self._round = -1  # the one that is kept so far
        self._heard: dict[str, Array] = {}
        self._number = 0

    def hear(self, site: str, message: Message) -> None:
        """Keep a message's arrays, if it is of that round, or of one before it until that comes."""
        position: Position | None = getattr(message, "position", None)
        kind = type(message).__name__
        if position is None or kind not in KINDS or not self._keeps(position):
            return
        self._number += 1
        for field, array in _arrays(message):
            # copied: what the coordinator sends may be the memory of a model that trains on
            self._heard[_name(self._number, kind, site, field, position)] = np.array(array, order="C")

    def state(self) -> dict[str, Any]:
        """Give what was kept."""
        return {"heard": dict(self._heard), "number": self._number, "round": self._round}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._heard, self._number, self._round = dict(state["heard"]), state["number"], state["round"]

    def _keeps(self, position: Position) -> bool:
        trial, round_ = position[:2]
        if trial == SCORING:
            return True
        if trial != self._trial or not self._round <= round_ <= self._wanted:
            return False
        if round_ > self._round:
            self._round = round_
            self._heard = _last_model(self._heard)
        return True

    def write(self, path: Path) -> None:
        """Write what was kept; nothing where nothing was, so that no earlier attempt's stays."""
        path.unlink(missing_ok=True)
        if self._heard:
            write_bytes(path, save(self._heard))


def read_wire(path: Path) -> list[Heard]:
    """Read a recorded wire.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path}: no recorded wire ({error}); remove the run's folder under results/ and run again"
        ) from None
    found: dict[str, Heard] = {}
    for name in sorted(arrays):
        number, kind, site, field, place = name.split("/")
        trial, round_, index, step = (int(part) for part in place.split(","))
        heard = found.setdefault(number, Heard(kind, site, (trial, round_, index, step), {}))
        heard.arrays[field] = arrays[name]
    return list(found.values())


def _last_model(heard: dict[str, Array]) -> dict[str, Array]:
    """Give the tensors of the last model among what was heard: an average goes down when all have come up."""
    numbers = [name.partition("/")[0] for name in heard if "/Weights/" in name]
    return {name: array for name, array in heard.items() if numbers and name.startswith(f"{max(numbers)}/")}


def _arrays(message: Message) -> Iterator[tuple[str, Array]]:
    for field in message.__struct_fields__:
        value = getattr(message, field)
        if isinstance(value, np.ndarray):
            yield field, value
        elif isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
            yield from ((f"{field}{number:04}", each) for number, each in enumerate(value))


def _name(number: int, kind: str, site: str, field: str, position: Position) -> str:
    return f"{number:08}/{kind}/{site}/{field}/{','.join(map(str, position))}"
