"""``python -m containers fork-servers``: one fork server for each party of a study, in its walls.

A launcher then asks for parties instead of starting programs: a party's walls, and what it imported, serve
all its runs. Such a server sees what its party sees in all of them, and nothing of another party. It is
started when it is first asked for, and leaves when it was not for a while; all leave when standard input
ends.
"""

import argparse
import json
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from containers import parties
from containers.errors import ConfigError
from containers.gang import COORDINATOR, Gang, parse_gang
from containers.meeting import Together
from containers.runtime_folder import SHARED, bases, runtime_folder
from containers.runtimes import RUNTIMES, add_runtime, choose
from containers.shared_server import GIVEN, LINK, SharedServer, close, listen, receive, tell

IDLE_SECONDS = 60.0
MOST = 500  # gangs: each is two mounts in a party's walls
TICK_SECONDS = 5.0
LEAVING_SECONDS = 12.0  # a party may commit before
HEEDING_SECONDS = 20.0  # it may be importing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--gangs", type=Path, required=True, metavar="FILE", help="whose parties, as JSON")
    add_runtime(parser)


def run(options: argparse.Namespace) -> int:
    """Say where launchers may ask, and serve them until standard input ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # launchers heed them, and let their parties leave in order
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each party has some here and at its server
    gangs = {}
    for each in json.loads(options.gangs.read_bytes()):
        statistics = Path(each["statistics"]) if each["statistics"] else None
        gang = parse_gang(Path(each["spec"]), statistics, Path(each["state"]), Path(each["results"]))
        if may_share(gang):
            gangs[each["spec"]] = gang
    if len(gangs) > MOST:
        gangs = {}
    with runtime_folder(bases()) as folder:
        servers = ForkServers(folder / SHARED, gangs, choose(options.runtime))
        print(servers.path, flush=True)
        servers.serve(sys.stdin.fileno())
    return 0


def may_share(gang: Gang) -> bool:
    """Say whether a gang's parties can be forked: threads do not survive it, GPUs and gates are one run's."""
    return gang.threads == 1 and not gang.on_gpu and not gang.gates


class ForkServers:
    """A study's fork servers, and the launchers that ask for parties."""

    def __init__(self, folder: Path, gangs: Mapping[str, Gang], runtime: str) -> None:
        """Listen in a private folder; ``gangs`` by spec."""
        folder.mkdir(mode=0o700)
        self._folder, self._gangs, self._runtime = folder, gangs, runtime
        self._selector = selectors.DefaultSelector()
        self._servers: dict[str, SharedServer] = {}  # by party
        self._together = Together(folder)
        self._started = self._meetings = 0
        self._numbers: dict[socket.socket, int] = {}  # of the gangs of launchers that are there
        self._left: dict[int, float] = {}  # and of those that left, when
        self.path = folder / "ask"
        self._listening = listen(self.path)
        self._on(self._listening, self._greet)

    def serve(self, until: int) -> None:
        """Serve until a descriptor ends; then let every server leave, once its parties have."""
        self._selector.register(until, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select(TICK_SECONDS):
                if key.data is None:
                    return self._end()
                if self._selector.get_map().get(key.fd) == key:  # what came before may have released it
                    key.data()
            self._tidy()

    def _tidy(self) -> None:
        """End servers that nobody needs, or that do not heed, and forget the keys of gangs that are gone."""
        now = time.monotonic()
        for server in self._servers.values():
            if server.is_idle(IDLE_SECONDS) and not server.dismissed:
                server.dismiss()
            server.insist(HEEDING_SECONDS)
        for number, left in [*self._left.items()]:
            if now - left > LEAVING_SECONDS:
                self._together.forget(number)
                del self._left[number]

    def _on(self, source: Any, act: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    def _greet(self) -> None:
        launcher, _ = self._listening.accept()
        self._on(launcher, lambda: self._hear(launcher))

    def _hear(self, launcher: socket.socket) -> None:
        """Take what a launcher asks: first where its gang may meet, then parties and signals."""
        asked, given = receive(launcher)
        what = json.loads(asked) if asked else {}
        if not what:
            self._selector.unregister(launcher)
            launcher.close()
            if number := self._numbers.pop(launcher, 0):
                self._left[number] = time.monotonic()
        elif "gang" in what:
            answer = self._meeting(what)
            self._numbers[launcher] = answer.get("number", 0)
            with suppress(OSError):  # it is gone, which is heard next
                launcher.send(json.dumps(answer).encode())
        elif "start" in what:
            self._start(self._whose(what["party"]), what["start"], asked, given)
        else:
            for server in self._servers.values():
                server.signal(what["of"], what["signal"], asked)

    def _meeting(self, what: Mapping[str, Any]) -> dict[str, Any]:
        """Give a gang of this study its place, if it runs in the same walls."""
        gang = self._gangs.get(what["gang"])
        if gang is None or what["runtime"] != self._runtime or what["state"] != str(gang.state.absolute()):
            return {}
        self._meetings += 1
        self._together.make(gang.keyed)
        return {"folder": str(self._folder), "number": self._meetings}

    def _whose(self, party: str) -> str:
        """Name whose server it is: where there are no walls, sites need none of their own."""
        return party if party == COORDINATOR or not RUNTIMES[self._runtime].FORKS else "sites"

    def _start(self, whose: str, name: str, asked: bytes, given: list[int]) -> None:
        """Pass a launcher's question on, to a server that may have to be started for it.

        Of one that came without its descriptors, for which there was no room, the launcher hears the end.
        """
        if len(given) < GIVEN:
            close(given)
            return
        server = self._servers.get(whose)
        try:
            server = server if server and not server.dismissed else self._open(whose)
        except (ConfigError, OSError) as error:
            tell(given[3], given[2], f"its fork server cannot be started: {error}")
            close(given)
            return
        server.ask(name, asked, given)

    def _open(self, whose: str) -> SharedServer:
        self._started += 1
        place = self._folder / f"link{self._started}"
        place.mkdir(mode=0o700)
        # without walls nothing is bound
        own = [] if RUNTIMES[self._runtime].FORKS else [*self._gangs.values()]
        sandbox = parties.forking(own, whose, place / LINK, self._together)
        server = SharedServer(RUNTIMES[self._runtime].argv(sandbox), sandbox.environment, place)
        self._servers[whose] = server
        self._on(server.listening, lambda: self._accept(server))
        self._on(server.ended, lambda: self._forget(whose, server))
        return server

    def _accept(self, server: SharedServer) -> None:
        self._selector.unregister(server.listening)
        link = server.accept()

        def hear() -> None:
            if not server.hear():
                self._selector.unregister(link)

        self._on(link, hear)

    def _forget(self, whose: str, server: SharedServer) -> None:
        """Release a server that has ended; another may have its place by now."""
        for source in (server.listening, *([server.link] if server.link else ()), server.ended):
            with suppress(KeyError, ValueError):  # that has been closed, and is watched no more
                self._selector.unregister(source)
        server.release()
        if self._servers.get(whose) is server:
            del self._servers[whose]

    def _end(self) -> None:
        give_up = time.monotonic() + LEAVING_SECONDS
        for server in self._servers.values():
            server.dismiss()
        for server in self._servers.values():
            server.leave(give_up - time.monotonic())
