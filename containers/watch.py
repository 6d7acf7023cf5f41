"""Sees all of a gang's processes, in the order in which they end, and lets none stay."""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from containers.member import Member, ask_to_leave, note_end, reap, send

LEAVE_SECONDS = 6.0  # from the closed lifeline to SIGTERM
TERM_SECONDS = 2.0  # from SIGTERM to SIGKILL
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Watch:
    """The members of a gang and the signals sent to their launcher; a context that leaves nobody behind."""

    def __init__(self, *, leave_seconds: float = LEAVE_SECONDS, term_seconds: float = TERM_SECONDS) -> None:
        """Watch nobody yet."""
        self.members: list[Member] = []
        self.stopped_by: signal.Signals | None = None
        self.ending_since: float | None = None
        self._ending_seconds = (leave_seconds, leave_seconds + term_seconds)
        self._selector = selectors.DefaultSelector()
        self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Watch":
        """Take over the signals that mean stop; one ignored from outside (nohup) stays ignored."""
        self._selector.register(self._waking[0], selectors.EVENT_READ, lambda: os.read(self._waking[0], 64))
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        self._waking_before = signal.set_wakeup_fd(self._waking[1], warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        """End whoever is left, and give the signals back."""
        self.leave_nobody()
        signal.set_wakeup_fd(self._waking_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._selector.close()
        for descriptor in self._waking:
            os.close(descriptor)

    def add(self, member: Member, output: Callable[[], bool] | None = None) -> None:
        """Watch a party; ``output`` reads what is there and tells whether there may be more."""
        self.members.append(member)
        self._selector.register(member.process, selectors.EVENT_READ, lambda: self._ended(member))
        if output and member.process.stdout:
            pipe = member.process.stdout
            self._selector.register(
                pipe, selectors.EVENT_READ, lambda: output() or self._selector.unregister(pipe)
            )

    def forget(self, member: Member) -> None:
        """Watch a party that has ended no more, and release what it held."""
        self.members.remove(member)
        if member.process.stdout:
            with suppress(KeyError):  # its end may have been read already
                self._selector.unregister(member.process.stdout)
        reap(member)

    def alive(self) -> list[Member]:
        """Name who has not ended."""
        return [member for member in self.members if member.ended is None]

    def failed(self) -> list[Member]:
        """Name who ended with a status other than 0, in the order of their ends."""
        return sorted((m for m in self.members if m.ended and m.status != 0), key=lambda m: m.ended or 0.0)

    def step(self, seconds: float) -> None:
        """Wait for the next thing to happen, at most so long, and go on with an ending under way."""
        for key, _ in self._selector.select(seconds):
            key.data()
        self._escalate()

    def end(self) -> None:
        """Begin to end the gang: first everyone's lifeline; the signals follow in time."""
        if self.ending_since is None:
            self.step(0.0)  # who has ended by now was not asked to
            self.ending_since = time.monotonic()
        for member in self.alive():
            ask_to_leave(member)

    def leave_nobody(self) -> None:
        """End whoever is left, and what ended parties had started themselves."""
        while self.alive():
            self.end()
            self.step(0.5)
        for member in self.members:
            reap(member)

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Leave nobody behind, whatever happens."""
        try:
            yield
        finally:
            self.leave_nobody()

    def _escalate(self) -> None:
        if self.ending_since is None:
            return
        since = time.monotonic() - self.ending_since
        for after, number in zip(self._ending_seconds, (signal.SIGTERM, signal.SIGKILL), strict=True):
            if since >= after:
                for member in self.alive():
                    send(member, number)

    def _ended(self, member: Member) -> None:
        note_end(member)
        self._selector.unregister(member.process)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.stopped_by = self.stopped_by or signal.Signals(number)
