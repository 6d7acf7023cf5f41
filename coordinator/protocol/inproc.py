"""A link without sockets, between threads of one process: the reference the sockets must equal."""

from queue import Empty, SimpleQueue

from coordinator.protocol.codec import Frames
from coordinator.protocol.credit import Pace


class Hub:
    """The coordinator's end; ``spoke(site)`` gives a site's."""

    def __init__(self) -> None:
        """Start with nobody connected."""
        self._up: SimpleQueue[tuple[str, bytes, Frames]] = SimpleQueue()
        self._down: dict[bytes, SimpleQueue[Frames]] = {}

    def spoke(self, site: str) -> "Spoke":
        """Connect a site."""
        queue = self._down[site.encode()] = SimpleQueue()
        return Spoke(site, self._up, queue)

    def receive(self, seconds: float) -> tuple[str, bytes, Frames] | None:
        """Give the next message as (site, route, frames), or None after the time."""
        try:
            return self._up.get(timeout=seconds)
        except Empty:
            return None

    def gone(self) -> list[bytes]:
        """Give nobody: threads do not vanish."""
        return []

    def send(self, route: bytes, frames: Frames) -> bool:
        """Put a copy into the site's queue."""
        self._down[route].put([bytes(frame) for frame in frames])
        return True

    def close(self) -> None:
        """Nothing to close."""


class Spoke:
    """A site's end."""

    refusals = 0
    connections_lost = 0

    def __init__(
        self, site: str, up: "SimpleQueue[tuple[str, bytes, Frames]]", down: "SimpleQueue[Frames]"
    ) -> None:
        """Take the two queues; credit is heard and not waited for: all lies in one process anyway."""
        self._site, self._up, self._down, self._pace = site, up, down, Pace()

    def receive(self, seconds: float) -> Frames | None:
        """Give the next message's frames, or None after the time."""
        try:
            frames = self._down.get(timeout=seconds)
        except Empty:
            return None
        return None if self._pace.hears(frames) else frames

    def send(self, frames: Frames) -> None:
        """Put a copy into the coordinator's queue."""
        self._up.put((self._site, self._site.encode(), [bytes(frame) for frame in frames]))

    def retry(self) -> bool:
        """Never: there is no one who refuses."""
        return False

    def reconnect(self) -> None:
        """Stay connected: threads do not vanish."""

    def close(self) -> None:
        """Nothing to close."""
