"""``python -m coordinator fork-server``: import what parties need once, and become each by a fork.

For parties without walls between them, on one machine. Each is a process of its own: its session, lifeline
and log are its own; what it draws is keyed or the kernel's, so no two share a random state. The coordinator
is forked first, before anything that reads a record is imported.
"""

import argparse
import json
import os
import socket
import sys
from pathlib import Path

from setproctitle import setproctitle

from coordinator import specs
from coordinator.command_line import main
from coordinator.errors import ConfigError
from coordinator.importing import load

LONGEST = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--spec", type=Path, required=True, help="the run or agreement, from the plan")
    parser.add_argument("--link", type=int, required=True, metavar="FD", help="the launcher's socket")


def run(options: argparse.Namespace) -> int:
    """Serve until the launcher closes the link; in a fork, be a party to its end.

    Raises:
        ConfigError: what was imported has started threads, which no fork takes along.
    """
    link = socket.socket(fileno=options.link)
    kind = specs.kind_of(options.spec)
    while True:
        asked, descriptors = _receive(link)
        if not asked:
            return 0
        program, *arguments = json.loads(asked)
        commands = prepare(program, arguments[0], kind)
        if not _fork(link):
            link.close()
            return _be(program, commands, arguments, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def prepare(program: str, command: str, kind: str) -> dict[str, tuple[str, str]]:
    """Import what a program's command needs for a spec of this kind; give the program's commands.

    Raises:
        ConfigError: more than one thread runs after it.
    """
    commands: dict[str, tuple[str, str]] = load(f"{program}.__main__").COMMANDS
    load(load(commands[command][0]).WORK[kind])
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise ConfigError(f"{threads} threads run after the imports, where a fork can take along only one")
    return commands


def _receive(link: socket.socket) -> tuple[bytes, list[int]]:
    try:
        asked, descriptors, _, _ = socket.recv_fds(link, LONGEST, 3)
    except ConnectionResetError:
        return b"", []
    return asked, descriptors


def _fork(link: socket.socket) -> bool:
    """Fork twice, so that the launcher becomes the party's parent; true in the server.

    The one between ends at once. The launcher hears the pid after that, when the party is its own child: one
    that ended at once could not be waited for before.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.close(writing)
        os.waitpid(between, 0)
        link.send(os.read(reading, 64))
        os.close(reading)
        return True
    party = os.fork()
    if party:
        os.write(writing, str(party).encode())
        os._exit(0)
    os.close(reading)
    os.close(writing)
    return False


def _be(
    program: str, commands: dict[str, tuple[str, str]], arguments: list[str], descriptors: list[int]
) -> int:
    os.setsid()
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    sys.argv = [program, *arguments]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    setproctitle(" ".join(sys.orig_argv))
    return main(program, commands, arguments)
