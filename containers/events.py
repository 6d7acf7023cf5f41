"""The coordinator's output: one JSON object a line; anything else belongs into its log."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LONGEST_LINE_BYTES = 1 << 20


class Events:
    """Reads a pipe without ever waiting for it, line by line."""

    def __init__(self, pipe: int, log: Path, receive: Callable[[Mapping[str, Any]], None]) -> None:
        """Pass each event of ``pipe`` to ``receive``."""
        os.set_blocking(pipe, False)
        self._pipe, self._log, self._receive = pipe, log, receive
        self._rest = b""

    def read(self) -> bool:
        """Read what is there, and tell whether there may be more."""
        try:
            found = os.read(self._pipe, 65536)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + found).split(b"\n")
        if not found or len(self._rest) > LONGEST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in filter(None, lines):
            self._take(line)
        return bool(found)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            self._receive(event)
        else:
            with self._log.open("ab") as log:
                log.write(line + b"\n")
