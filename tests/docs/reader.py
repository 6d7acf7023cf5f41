"""Does what a page says, in a folder of its own, with a terminal per place."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT, Block

SECONDS: Final = 600
# a terminal keeps its variables and its folder from one block to the next
SCRIPT: Final = """
if [ -f "$KEPT" ]; then source "$KEPT"; fi
{text}
export -p > "$KEPT"
echo "cd $(printf %q "$PWD")" >> "$KEPT"
"""


class Differs(Exception):
    """A page says what is not so."""


class Terminal:
    """One place: a folder, and the block that runs in it."""

    def __init__(self, folder: Path, home: Path, number: int, hears: Callable[[Block, str], None]) -> None:
        """Open it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._hears = hears
        self._folder, self._kept = folder, home / f".terminal-{number}"
        self._log = home / f".terminal-{number}.log"
        self._running: subprocess.Popen[bytes] | None = None
        self.said = ""

    def start(self, block: Block, checkout: Path) -> None:
        """Type a block."""
        self.wait()
        self._block = block
        bin_folder = Path(sys.executable).parent
        own = {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(checkout),
            "KEPT": str(self._kept), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", SCRIPT.format(text=block.text)],
                cwd=self._folder, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait for the block that was typed last.

        Raises:
            Differs: it failed, or did not end.
        """
        if self._running is None:
            return
        try:
            status = self._running.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.close()
            status = -1
        self._running, self.said = None, self._log.read_text(errors="replace")
        self._hears(self._block, self.said)
        if status:
            raise Differs(f"{shown(self._block)}: ended with {status}\n{self._block.text}\n{self.said}")

    def close(self) -> None:
        """End what still runs."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait()


class Reader:
    """Follows one page."""

    def __init__(
        self, folder: Path, *, checkout: bool, hears: Callable[[Block, str], None] = lambda block, said: None
    ) -> None:
        """Sit down before a folder.

        Args:
            folder: the page's.
            checkout: it is a copy of this one, and its programs run.
            hears: gets what each command printed.
        """
        self._folder, self._checkout, self._hears = folder, folder if checkout else ROOT, hears
        self._terminals: dict[str, Terminal] = {}
        self._last: Terminal | None = None

    def follow(self, block: Block) -> str:
        """Do what a block says; give what was done: run, not run, written, edited, compared, or read.

        Raises:
            Differs: it does not work, or something else happens.
        """
        if block.marker == "not run":
            return "not run"
        if block.marker == "file":
            path = self._folder / block.value
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return "written"
        if block.marker == "edit":
            edit(self._folder / block.value, block)
            return "edited"
        if block.marker == "says" and self._last:
            compare(block, self._last.said)
            return "compared"
        return self._run(block) if block.language == "bash" else "read"

    def _run(self, block: Block) -> str:
        terminal = self._terminals.setdefault(
            block.place,
            Terminal(self._folder / block.place, self._folder, len(self._terminals), self._hears),
        )
        terminal.start(block, self._checkout)
        if not block.goes_on:
            terminal.wait()
        self._last = terminal
        return "run"

    def leave(self) -> None:
        """Wait for all that goes on.

        Raises:
            Differs: something of it failed.
        """
        for terminal in self._terminals.values():
            terminal.wait()

    def close(self) -> None:
        """End all that still runs."""
        for terminal in self._terminals.values():
            terminal.close()


def edit(path: Path, block: Block) -> None:
    """Change a file as a diff without line numbers says.

    Raises:
        Differs: its old lines do not stand there exactly once.
    """
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise Differs(f"{shown(block)}: stands {text.count(old)} times in {block.value}, not once:\n{old}")
    path.write_text(text.replace(old, new), encoding="utf-8")


def compare(block: Block, said: str) -> None:
    """Look for each line that a page shows in what was said, however many spaces are between its words.

    Raises:
        Differs: one is not there.
    """
    printed = [" ".join(line.split()) for line in said.splitlines()]
    for line in block.text.splitlines():
        pattern = ".*".join(map(re.escape, " ".join(line.split()).split("…")))
        if not any(re.search(pattern, each) for each in printed):
            raise Differs(f"{shown(block)}: was not printed: {line}\nbut\n{said}")


def shown(block: Block) -> str:
    """Say where a block stands."""
    return f"{block.page}:{block.line}"
