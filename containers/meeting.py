"""Where the parties of one gang meet, and where each finds its keys."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from containers.runtime_folder import gate_path, socket_path
from containers.sandbox import Network


@dataclass(frozen=True)
class Together:
    """A folder for all gangs of a study, since walls that serve them all stand before any meets.

    A party is shown the sockets and its own keys; ``number`` is the gang's.
    """

    folder: Path
    number: int = 0

    @property
    def sockets(self) -> Path:
        """Name the folder of all gangs' sockets."""
        return self.folder / "m"

    def keys_of(self, party: str) -> Path:
        """Name the folder of a party's keys, for each gang its own."""
        return self.folder / "keys" / party

    def forget(self, number: int) -> None:
        """Remove what a launcher that was killed left of its gang."""
        for path in (*self.folder.glob(f"keys/*/{number}.*"), self.sockets / f"{number}.ipc"):
            path.unlink(missing_ok=True)

    def make(self, parties: Iterable[str]) -> None:
        """Make these folders, for their owner alone."""
        for folder in (self.sockets, *map(self.keys_of, parties)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True)
class Meeting:
    """Where the parties of one gang meet, and the folder with their keys."""

    runtime: Path
    tcp: bool = False
    port: int = 0
    address: str = "127.0.0.1"
    together: Together | None = None

    @property
    def socket(self) -> Path:
        """Name the coordinator's socket."""
        if self.together:
            return self.together.sockets / f"{self.together.number}.ipc"
        return socket_path(self.runtime)

    @property
    def bound(self) -> str:
        """What the coordinator binds; over TCP it picks the port, unless it had one before."""
        return f"tcp://{self.address}:{self.port}" if self.tcp else f"ipc://{self.socket}"

    @property
    def network(self) -> Network:
        """What the sandboxes need of the host's network."""
        return "host" if self.tcp else "none"

    def secret(self, party: str) -> Path:
        """Name a party's key file."""
        if self.together:
            return self.together.keys_of(party) / f"{self.together.number}.secret"
        return self.runtime / f"{party}.secret"

    def manifest(self, party: str) -> Path:
        """Name the file of everyone's public keys, as a party sees it."""
        if self.together:
            return self.together.keys_of(party) / f"{self.together.number}.json"
        return self.runtime / "manifest.json"

    def door(self, number: int) -> Path:
        """Name the socket of a site's gate, by the site's number."""
        return gate_path(self.runtime, number)

    @contextmanager
    def handed_out(self, parties: Sequence[str]) -> Iterator[None]:
        """Give each party its keys where walls that stand already show it another folder than this gang's.

        That is other gangs' as well, so nothing of this one is left there.
        """
        if not self.together:
            yield
            return
        try:
            for party in parties:
                shutil.move(self.runtime / f"{party}.secret", self.secret(party))
                shutil.copyfile(self.runtime / "manifest.json", self.manifest(party))
            yield
        finally:
            for path in (self.socket, *map(self.secret, parties), *map(self.manifest, parties)):
                path.unlink(missing_ok=True)
