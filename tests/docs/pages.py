"""What a page of the documentation tells its reader to do: files to write, lines to change, commands to run.

A comment on the line before a fenced block says what becomes of it; a reader does not see it:

    <!-- at: north -->            run in the folder `north` of the page, as in a terminal of its own
    <!-- at: north, goes on -->   the same, and read on while it runs; the next block there waits for it
    <!-- file: PATH -->           write the block to PATH
    <!-- edit: PATH -->           change PATH as the diff says
    <!-- says -->                 the block before printed this, `…` standing for anything
    <!-- not run: REASON -->      a command that is not run
    <!-- checkout -->             (anywhere) the page's folder is a copy of this checkout
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PAGES: Final = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "config/README.md", "config/studies/README.md")
MARKER: Final = re.compile(r"<!-- (at|file|edit|says|not run|checkout)(?:: (.+?))? -->")
FENCE: Final = re.compile(r"^(`{3,})(\w*)$")
GOES_ON: Final = ", goes on"


@dataclass(frozen=True)
class Block:
    """One fenced block: its page and line, its language, what its marker says, its text."""

    page: str
    line: int
    language: str
    marker: str
    value: str
    text: str

    @property
    def is_command(self) -> bool:
        """Say whether a reader would type it."""
        return self.language == "bash" and self.marker != "file"

    @property
    def goes_on(self) -> bool:
        """Say whether the reader reads on while it runs."""
        return self.value.endswith(GOES_ON)

    @property
    def place(self) -> str:
        """Name the folder in which it is done."""
        return self.value.removesuffix(GOES_ON) if self.marker == "at" else ""


def pages() -> list[str]:
    """Name every page, from the root."""
    return [*PAGES, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def read(page: str) -> str:
    """Give a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def is_checkout(page: str) -> bool:
    """Say whether a page's folder is a copy of this checkout."""
    return "<!-- checkout -->" in read(page)


def blocks(page: str) -> Iterator[Block]:
    """Give a page's fenced blocks in order."""
    lines = read(page).splitlines()
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        end = lines.index(fence[1], number + 1)
        marker = MARKER.fullmatch(lines[number - 1]) if number else None
        kind, value = (marker[1], marker[2] or "") if marker else ("", "")
        yield Block(page, number + 1, fence[2], kind, value, "\n".join(lines[number + 1 : end]) + "\n")
        number = end + 1
