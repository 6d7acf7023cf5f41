"""A TCP proxy between a site and the coordinator that can break what passes it.

Below CURVE a changed or dropped byte ends the connection: to break connections is all that a network can do.
"""

import socket
import threading
import time
from contextlib import suppress

DELAY_SECONDS = 1.0


class Proxy:
    """Forwards connections to wherever the coordinator listens at the time; counts the bytes that go up."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Listen on a port of this machine, at one of its addresses."""
        self.target: tuple[str, int] | None = None
        self.up = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._delayed_until = 0.0
        self._listener = socket.create_server((host, 0))
        self.endpoint = f"tcp://{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection at once, both ways."""
        pairs, self._pairs = self._pairs, []
        for each in [end for pair in pairs for end in pair]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def half_close(self) -> None:
        """Let nothing more go up on the present connections, while what comes down still does."""
        for _, upstream in self._pairs:
            with suppress(OSError):
                upstream.shutdown(socket.SHUT_WR)

    def delay(self) -> None:
        """Hold back what goes up for a while."""
        self._delayed_until = time.monotonic() + DELAY_SECONDS

    def close(self) -> None:
        """Listen no more, and end what is connected."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                site, _ = self._listener.accept()
            except OSError:
                return
            try:
                upstream = socket.create_connection(self.target) if self.target else None
            except OSError:
                upstream = None
            if upstream is None:
                site.close()
                continue
            self._pairs.append((site, upstream))
            for ends in ((site, upstream, True), (upstream, site, False)):
                threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                if up:
                    time.sleep(max(0.0, self._delayed_until - time.monotonic()))
                    self.up += len(content)
                sink.sendall(content)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
