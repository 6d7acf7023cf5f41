"""``python -m sites fork-server``: import what a site needs once, and become each site by a fork.

For parties without walls between them, on one machine. A site is a process of its own: its session, its
lifeline and its log are its own; what it draws is keyed or the kernel's, so no two share a random state.
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
from sites.client import WORK

LONGEST = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--spec", type=Path, required=True, help="the run or agreement, from the plan")
    parser.add_argument("--link", type=int, required=True, metavar="FD", help="the launcher's socket")


def run(options: argparse.Namespace) -> int:
    """Serve until the launcher closes the link; in a fork, be a site to its end.

    Raises:
        ConfigError: what was imported has started threads, which no fork takes along.
    """
    load(WORK[specs.kind_of(options.spec)])
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise ConfigError(f"{threads} threads run after the imports, where a fork can take along only one")
    link = socket.socket(fileno=options.link)
    link.send(b"ready")
    while True:
        asked, descriptors = _receive(link)
        if not asked:
            return 0
        if not _fork(link):
            link.close()
            return _be(json.loads(asked), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _receive(link: socket.socket) -> tuple[bytes, list[int]]:
    try:
        asked, descriptors, _, _ = socket.recv_fds(link, LONGEST, 2)
    except ConnectionResetError:
        return b"", []
    return asked, descriptors


def _fork(link: socket.socket) -> bool:
    """Fork twice, so that the launcher becomes the site's parent; true in the server.

    The one between ends at once, and tells the site's pid before.
    """
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return True
    site = os.fork()
    if site:
        link.send(str(site).encode())
        os._exit(0)
    return False


def _be(arguments: list[str], lifeline: int, log: int) -> int:
    from sites.__main__ import COMMANDS

    os.setsid()
    for descriptor, place in ((lifeline, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.close(lifeline)
    os.close(log)
    sys.argv = ["sites", *arguments]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    setproctitle(" ".join(sys.orig_argv))
    return main("sites", COMMANDS, arguments)
