"""Whether a site's last word can be true: the names and hashes of its parts, and what the run cost it."""

import re
from collections.abc import Iterable
from math import inf
from typing import Final

from coordinator.errors import ProtocolError
from coordinator.protocol.messages import Done

HASH: Final = re.compile("[0-9a-f]{64}")
MEASURE: Final = re.compile(r"[A-Za-z0-9_.]{1,200}")
MOST: Final = 1000  # measures


def check_done(site: str, done: Done, parts: Iterable[str]) -> None:
    """Refuse what would spoil the run's files.

    Args:
        site: who says it.
        done: what it says.
        parts: those that a site can hold.

    Raises:
        ProtocolError: naming the site.
    """
    known = tuple(parts)
    for part, value in done.hashes.items():
        if part not in known or not HASH.fullmatch(value):
            raise ProtocolError(f"'{site}' gave no hash of a part of its own ({', '.join(known)})", site)
    if len(done.costs) > MOST:
        raise ProtocolError(f"'{site}' told {len(done.costs)} measures of cost, at most {MOST} exist", site)
    for measure, cost in done.costs.items():
        if not (MEASURE.fullmatch(measure) and 0 <= cost < inf):
            raise ProtocolError(f"'{site}' says its {measure!r:.200} is {cost}: no such cost", site)
