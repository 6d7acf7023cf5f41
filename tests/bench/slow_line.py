"""A proxy that is a line of some bandwidth and latency, each way."""

import queue
import socket
import threading
import time
from contextlib import suppress

from tests.chaos.proxy import Proxy

CHUNK = 4096


class SlowLine(Proxy):
    """Forwards bytes no faster than the line takes them, and hands them over after the latency."""

    def __init__(self, up: float, down: float, latency: float) -> None:
        """Listen; ``up`` and ``down`` are bytes a second, ``latency`` seconds one way."""
        self._rates, self._latency = {True: up, False: down}, latency
        super().__init__()

    def _forward(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        # else the last piece of a message waits for the answer to the one before, 40 ms on Linux
        sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._hand_over, args=(waiting, sink), daemon=True).start()
        free = 0.0
        with suppress(OSError):
            while content := source.recv(CHUNK):
                free = max(free, time.monotonic()) + len(content) / self._rates[up]
                waiting.put((free + self._latency, content))
        waiting.put((0.0, b""))

    def _hand_over(self, waiting: "queue.SimpleQueue[tuple[float, bytes]]", sink: socket.socket) -> None:
        with suppress(OSError):
            while (due := waiting.get())[1]:
                time.sleep(max(0.0, due[0] - time.monotonic()))
                sink.sendall(due[1])
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
