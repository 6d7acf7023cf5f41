"""What a conversation's own messages may hold: they always leave, so a gate outside looks into them.

Names, numbers and hashes in their forms, and few of them: a channel of some bytes a commit stays, which no
gate can close while a model may send what it computes.
"""

import re
from collections.abc import Iterable
from typing import Final

from coordinator.errors import ConfigError
from coordinator.protocol.messages import Committed, Done, Hello, Message

HASH: Final = re.compile("[0-9a-f]{64}")
SIGNATURE: Final = re.compile("([0-9a-f]{128})?")
NAME: Final = re.compile(r"[A-Za-z0-9_. -]{1,100}")
MOST_COMMITS, MOST_PARTS, MOST_COSTS = 4, 64, 512


def check_conversation(message: Message, site: str, spec: str) -> None:
    """Refuse a Hello, Committed or Done that holds anything else than it should.

    Raises:
        ConfigError: naming the message.
    """
    match message:
        case Hello():
            fits = (message.site, message.spec) == (site, spec)
            fits &= len(message.commits) <= MOST_COMMITS and _all(HASH, message.commits.values())
        case Committed():
            fits = _all(HASH, (message.hash, message.ledger)) and _all(SIGNATURE, (message.signature,))
        case Done():
            fits = len(message.hashes) <= MOST_PARTS and len(message.costs) <= MOST_COSTS
            fits &= _all(NAME, (*message.hashes, *message.costs)) and _all(HASH, message.hashes.values())
        case _:
            return
    if not fits:
        name = type(message).__name__
        raise ConfigError(f"the release gate refused {name}: it holds what none should; nothing was sent")


def _all(form: re.Pattern[str], words: Iterable[str]) -> bool:
    return all(form.fullmatch(word) for word in words)
