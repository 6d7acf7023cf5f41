"""A launcher's way to a study's fork servers, where the study has some for its gang."""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from containers.fork_server import fork
from containers.gang import Gang
from containers.meeting import Together
from containers.member import Member
from containers.runtime_folder import held
from containers.shared_server import LONGEST

ASK = "SUTURE_FORK_SERVERS"  # the socket's path, which a workflow sets
ANSWER_SECONDS = 30.0


class Borrowed:
    """A study's fork servers, as one launcher asks them; ``keep`` is what its parties hold."""

    def __init__(self, link: socket.socket, together: Together, keep: int) -> None:
        """Take the place that was given to the gang."""
        self._link, self.together, self._keep = link, together, keep

    def start(self, party: str, program: Sequence[str], log: Path, *, piped: bool) -> Member | None:
        """Let the party's server become it; None where the servers have ended."""
        try:
            return fork(self._link, party, program, log, keep=self._keep, piped=piped)
        except OSError:
            return None


@contextmanager
def borrowed(gang: Gang, runtime: str, keep: int) -> Iterator[Borrowed | None]:
    """Ask for a place for a gang; none without such servers, or if it is not theirs.

    A limit of memory holds for one run, not for all that a party runs at a time: such a gang has walls of
    its own.
    """
    path = os.environ.get(ASK)
    if not path or gang.memory:
        yield None
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link, ExitStack() as stack:
        together = _place(link, path, gang, runtime)
        if together:  # whatever becomes of the servers, their folder stays for as long as a gang is in it
            stack.enter_context(held(together.folder.parent))
        yield Borrowed(link, together, keep) if together else None


def _place(link: socket.socket, path: str, gang: Gang, runtime: str) -> Together | None:
    asked = {"gang": str(gang.spec), "state": str(gang.state.absolute()), "runtime": runtime}
    link.settimeout(ANSWER_SECONDS)
    with suppress(OSError):
        link.connect(path)
        link.send(json.dumps(asked).encode())
        found = json.loads(link.recv(LONGEST) or b"{}")
        link.settimeout(None)
        return Together(Path(found["folder"]), found["number"]) if found else None
    return None
