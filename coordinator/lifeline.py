"""A party lives as long as its standard input is open: its launcher holds the other end.

End of file arrives whatever killed the launcher and in every container runtime.
"""

import os
import signal
import sys
import threading
import time
from typing import Final

from coordinator.errors import SutureError

GRACE_SECONDS: Final = 6.0
HEARS: Final = "SUTURE_HEARS"  # "lifeline": it alone ends this party, whatever Slurm signals to all of a job


class LifelineCut(SutureError):
    """The launcher is gone or asks this party to leave."""

    exit_status = 6


class Lifeline:
    """Watches standard input; ``check`` raises when it has ended."""

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Start watching from a thread, which leaves hard if the party has not left in time."""
        if os.environ.get(HEARS) == "lifeline":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._reading, self._writing = os.pipe()
        self._grace_seconds = grace_seconds
        self._cut = threading.Event()
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def fileno(self) -> int:
        """Give a descriptor to poll beside the sockets; it turns readable at the end."""
        return self._reading

    def check(self) -> None:
        """Leave if the line was cut.

        Raises:
            LifelineCut: standard input has ended.
        """
        if self._cut.is_set():
            raise LifelineCut("the launcher closed this party's lifeline; leaving")

    def _watch(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._cut.set()
        os.write(self._writing, b"x")
        time.sleep(self._grace_seconds)
        os._exit(LifelineCut.exit_status)
