"""What a party keeps beside the algorithm's state, such as its counts, so that they go on too."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from coordinator.algorithms.party import Party
from coordinator.checkpoint import go_on, state_of
from coordinator.commits import Commit, Commits


class Keeps(Protocol):
    """Something whose state a commit holds; plain values, tensors and arrays, nested."""

    def state(self) -> dict[str, Any]:
        """Give it."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from it."""


class Keeping:
    """A party's commits, and the one its walk goes on from."""

    def __init__(self, commits: Commits, kept: Mapping[str, Keeps]) -> None:
        """Begin at the schedule's start, with everything as it is now."""
        self.commits, self._kept = commits, kept
        self._first = {name: each.state() for name, each in kept.items()}
        self._from: Commit | None = None
        self.seconds = 0.0  # spent on commits, waiting for others' included

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the seconds of what is done in it."""
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    def rewind(self, number: int) -> None:
        """Go on from a commit, -1: begin anew; later commits are forgotten.

        Raises:
            ProtocolError: it is not held; nothing is forgotten.
        """
        self._from = self.commits.read(number) if number >= 0 else None
        self.commits.rewind(number)
        extra = self._from.extra if self._from else self._first
        for name, each in self._kept.items():
            each.load(extra[name])

    def start(self) -> int:
        """Give the item after which the commit was made, -1: none."""
        return self._from.item if self._from else -1

    def go_on(self, party: Party) -> None:
        """Put a party into the commit's state."""
        if self._from:
            go_on(party, self._from.state)
        self._from = None  # its tensors are the party's now

    def begin(self, party: Party, number: int, item: int, **more: Any) -> str:
        """Begin to write a commit of this party as it is now (`commits.end`); give its hash."""
        extra = {name: each.state() for name, each in self._kept.items()} | more
        return self.commits.begin(Commit(number, item, state_of(party), extra))
