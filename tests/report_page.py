"""Reads a report page back: its numbers with the CSV cells they name, its headings, its links."""

import csv
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

PREFIXES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass
class Shown:
    """A number on the page: where it says it comes from, and what a reader sees."""

    file: str
    row: int
    column: str
    raw: str
    text: str = ""


@dataclass
class Page(HTMLParser):
    """What the tests ask about a page."""

    numbers: list[Shown] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: Shown | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if "data-file" in found:
            self._open = Shown(
                found["data-file"], int(found["data-row"]), found["data-column"], found["data-value"]
            )
            self.numbers.append(self._open)
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "data":
            self._open = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            self._open.text += data


def read_page(html: str) -> Page:
    """Parse a page."""
    page = Page()
    page.feed(html)
    return page


def wrong_numbers(page: Page, results: Path) -> list[str]:
    """List the page's numbers that are not those of the CSV files, as written or as shown."""
    tables: dict[str, list[dict[str, str]]] = {}
    wrong = []
    for shown in page.numbers:
        if shown.file not in tables:
            with (results / shown.file).open(encoding="utf-8", newline="") as file:
                tables[shown.file] = list(csv.DictReader(file))
        truth = tables[shown.file][shown.row][shown.column]
        if shown.raw != truth or not agrees(shown.text, float(truth)):
            wrong.append(f"{shown.file}, row {shown.row}, {shown.column}: {truth}, shown as {shown.text!r}")
    return wrong


def agrees(text: str, truth: float) -> bool:
    """Say whether a shown number is the true one, rounded as far as its digits go."""
    if text.startswith("<"):
        return 0 <= truth < float(text[1:])
    digits, _, unit = text.replace("\u202f", "").replace("\u2212", "-").partition("\u00a0")
    if unit.startswith("min"):
        seconds = unit.removeprefix("min").replace("\u00a0", " ").strip(" s")
        return abs(60 * float(digits) + float(seconds) - truth) <= 1
    scale = 0.01 if unit == "%" else PREFIXES[unit[0]] if unit and unit not in ("B", "s", "FLOP") else 1
    decimals = len(digits.partition(".")[2].partition("e")[0])
    rounding = 0.5000001 * 10.0**-decimals * scale
    return abs(float(digits) * scale - truth) <= max(rounding, 5e-4 * abs(truth) if "e" in digits else 0)
