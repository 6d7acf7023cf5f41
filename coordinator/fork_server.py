"""``python -m coordinator fork-server``: import what parties need once, and become each by a fork.

Each is a process of its own: its session, lifeline and log are its own; what it draws is keyed or the
kernel's, so no two share a random state. Whoever asks for one gives the descriptors it is to have: standard
input, output and error, one that is told how it ended, and one that it holds. It does not outlive the server.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from setproctitle import setproctitle

from coordinator import specs
from coordinator.code import code_hash
from coordinator.command_line import main
from coordinator.errors import ConfigError
from coordinator.importing import load

LONGEST: Final = 1 << 16
GIVEN: Final = 5  # descriptors
PR_SET_PDEATHSIG: Final = 1
Commands = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Party:
    """A party that lives: what it was asked for as, and where its end is told."""

    name: str
    pid: int
    status: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--link", required=True, metavar="FD|SOCKET", help="who asks for parties")


def run(options: argparse.Namespace) -> int:
    """Serve until the link is closed and the last party has ended; in a fork, be a party to its end."""
    link, parties, asking = connect(options.link), dict[int, Party](), True
    # what ends a launcher is no reason to end its parties before it could ask them to leave
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGHUP)}
    while asking or parties:
        readable = wait(*([link.fileno()] if asking else []), *parties)
        for pidfd in parties.keys() & readable:
            finish(link, pidfd, parties.pop(pidfd))
        if link.fileno() not in readable:
            continue
        asked, given = receive(link)
        asking = bool(asked)
        if "signal" in asked:
            pass_on(asked, parties)
        elif asked and len(given) < GIVEN:  # there was no room for them: who asked hears that they are closed
            close(given)
            count_out(link, asked["start"])
        elif asked:
            program, *arguments = asked["program"]
            try:
                commands = prepare(program, arguments)
                pid = fork()
            except Exception as error:  # noqa: BLE001 - it is said in the party's log: the others live on
                refuse(link, asked["start"], given, error)
                continue
            if not pid:
                let_go(link, parties)
                for number, handler in before.items():
                    signal.signal(number, handler)
                return be(program, commands, arguments, given)
            parties[os.pidfd_open(pid)] = Party(asked["start"], pid, given[3])
            close([*given[:3], *given[4:]])
    return 0


def connect(link: str) -> socket.socket:
    """Take the link that was inherited, or whose path was given."""
    if link.isdecimal():
        return socket.socket(fileno=int(link))
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.connect(link)
    return found


def wait(*descriptors: int) -> set[int]:
    """Wait until some can be read, and name them; there may be more than `select` can tell apart."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {found for found, _ in poll.poll()}


def prepare(program: str, arguments: list[str]) -> Commands:
    """Import what a program's command needs for the spec it is given; give the program's commands.

    Raises:
        ConfigError: more than one thread runs after it.
    """
    commands: Commands = load(f"{program}.__main__").COMMANDS
    command = load(commands[arguments[0]][0])
    if "--spec" in arguments:
        spec = Path(arguments[arguments.index("--spec") + 1])
        load(command.WORK[specs.kind_of(spec)])
        code_hash()  # of the code that was imported, whatever lies there when a later party asks
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise ConfigError(f"{threads} threads run after the imports, where a fork can take along only one")
    return commands


def receive(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Read what is asked; nothing where the link has ended."""
    try:
        asked, given, _, _ = socket.recv_fds(link, LONGEST, GIVEN)
    except ConnectionResetError:
        return {}, []
    return json.loads(asked) if asked else {}, given


def pass_on(asked: Mapping[str, Any], parties: Mapping[int, Party]) -> None:
    """Signal a party that still lives, and what it started."""
    for party in parties.values():
        if party.name == asked["of"]:
            with suppress(ProcessLookupError):
                os.killpg(party.pid, asked["signal"])


def finish(link: socket.socket, pidfd: int, party: Party) -> None:
    """End what a party left in its group, release it, and tell how it ended."""
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)  # its number is its own until it is reaped
    with suppress(ProcessLookupError):
        os.killpg(party.pid, signal.SIGKILL)
    _, status = os.waitpid(party.pid, 0)
    os.close(pidfd)
    tell(link, party.name, party.status, os.waitstatus_to_exitcode(status))


def refuse(link: socket.socket, name: str, given: list[int], error: Exception) -> None:
    """End a party that cannot be, as one that failed, with the reason in its log."""
    with suppress(OSError):
        os.write(given[2], "".join(traceback.format_exception(error)).encode())
    tell(link, name, given[3], 1)
    close([*given[:3], *given[4:]])


def tell(link: socket.socket, name: str, told: int, status: int) -> None:
    """Tell how a party ended: its launcher, and who asks this server."""
    with suppress(OSError):  # nobody waits for it any more
        os.write(told, str(status).encode())
    os.close(told)
    count_out(link, name)


def count_out(link: socket.socket, name: str) -> None:
    """Tell who counts, if anybody does, that a party does not live."""
    with suppress(OSError):
        link.send(json.dumps({"ended": name}).encode(), socket.MSG_DONTWAIT)


def fork() -> int:
    """Fork; the child is in a session of its own before anybody can signal it, and ends with its parent."""
    server, libc = os.getpid(), ctypes.CDLL(None)
    ready, go = os.pipe()
    pid = os.fork()
    if pid:
        os.close(go)
        os.read(ready, 1)
        os.close(ready)
        return pid
    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != server:
        os._exit(1)
    os.close(ready)
    os.close(go)
    return 0


def close(descriptors: list[int]) -> None:
    """Close each."""
    for descriptor in descriptors:
        os.close(descriptor)


def let_go(link: socket.socket, parties: Mapping[int, Party]) -> None:
    """Hold nothing that is the server's or another party's."""
    link.close()
    for pidfd, party in parties.items():
        os.close(pidfd)
        os.close(party.status)


def be(program: str, commands: Commands, arguments: list[str], given: list[int]) -> int:
    """Become the party: its standard descriptors, its name, its program; the fifth is held to its end."""
    for place, descriptor in enumerate(given[:3]):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.close(given[3])
    sys.argv = [program, *arguments]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    setproctitle(" ".join(sys.orig_argv))
    return main(program, commands, arguments)
