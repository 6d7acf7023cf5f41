"""Credit for a long message's chunks: how much of what a site sends may lie unread at the coordinator.

A site sends the first `WINDOW` chunks of a message unasked. Of a longer one each further chunk waits for the
coordinator's word that it has read what came before, and has room; a message within the window needs none.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from coordinator.protocol.assembly import Assembly
from coordinator.protocol.codec import MALFORMED, Chunk, Frames

WINDOW: Final = 64  # chunks
STEP: Final = 16  # chunks for which credit is given at once
ROOM_BYTES: Final = 1 << 30  # of long messages at the coordinator that it has not come to yet
A_CHUNK: Final = b"\x93"  # an array of three begins a further chunk's header and credit's, five an envelope


class Credit(msgspec.Struct, frozen=True, tag="Credit", array_like=True, forbid_unknown_fields=True):
    """The coordinator's word that of a message the chunks below an index may come."""

    sequence: int
    until: int


class Pace:
    """The sender's side: says of each pair of frames whether it may go."""

    def __init__(self) -> None:
        """Have no credit but every message's window."""
        self._credit = Credit(0, 0)

    def may(self, frames: Frames) -> bool:
        """Say whether these frames may go now."""
        if frames[0][:1] != A_CHUNK:
            return True
        chunk = msgspec.msgpack.decode(frames[0], type=Chunk)
        return chunk.index < (self._credit.until if chunk.sequence == self._credit.sequence else WINDOW)

    def hears(self, frames: Frames) -> bool:
        """Heed these frames if they are credit; say whether they are."""
        if len(frames) != 1 or frames[0][:1] != A_CHUNK:
            return False
        try:
            self._credit = msgspec.msgpack.decode(frames[0], type=Credit)
        except MALFORMED:
            return False
        return True


class Lender:
    """The receiver's side for one sender."""

    def __init__(self) -> None:
        """Lend nothing but every message's window."""
        self._until = WINDOW

    def is_spent(self, assembly: Assembly) -> bool:
        """Say whether the next chunk is more than was lent; a new message begins with the window."""
        here, count = assembly.chunks
        if not count:
            self._until = WINDOW
        return count > 0 and here >= self._until

    def more(self, assembly: Assembly) -> Frames | None:
        """Lend a step more where the window reaches so far: a message always costs the same credit."""
        here, count = assembly.chunks
        if count <= self._until or here + WINDOW < self._until + STEP:
            return None
        self._until += STEP
        return [msgspec.msgpack.encode(Credit(assembly.sequence, self._until))]


class Debtor(Protocol):
    """A line on which a long message may be under way (`coordinator.protocol.line.Line`)."""

    held: int

    def under_way(self) -> int: ...  # noqa: D102
    def credit(self) -> Frames | None: ...  # noqa: D102


class Room:
    """Shares the coordinator's room for long messages; the site that is waited for always gets credit."""

    def __init__(self, lines: Mapping[str, Debtor], lend: Callable[[str, Frames], None]) -> None:
        """Take every site's line, and what sends credit."""
        self._lines, self._lend = lines, lend
        self._under_way: dict[str, bool] = {}  # the sites with a long message, and whether room is theirs

    def look(self, site: str) -> None:
        """See what has come of a site's message."""
        if self._lines[site].under_way():
            self._under_way.setdefault(site, False)
        else:
            self._under_way.pop(site, None)

    def give(self, awaited: str) -> None:
        """Give the credit that is due."""
        for site in sorted(self._under_way, key=lambda each: each != awaited):
            self._under_way[site] = self._under_way[site] or site == awaited or self._fits(site)
            while self._under_way[site] and (credit := self._lines[site].credit()):
                self._lend(site, credit)

    def _fits(self, site: str) -> bool:
        sharing = [each for each, theirs in self._under_way.items() if theirs or each == site]
        coming = sum(self._lines[each].under_way() for each in sharing)
        return coming + sum(line.held for line in self._lines.values()) <= ROOM_BYTES
