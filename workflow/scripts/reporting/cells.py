"""Tables and their cells; a cell says which file, row and column its number comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from reporting import units
from reporting.files import Row

NONE = "\u2013"
UNAVAILABLE = "not available"  # how a reason begins where there is no model to score with


@dataclass
class Table:
    """A table for the template: a caption, column heads, and rows of a head and cells.

    A row without cells heads a group of the rows below it.
    """

    caption: str
    columns: Sequence[str]
    rows: list[tuple[str, list[Markup] | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    group: str = ""

    def is_text(self, column: int) -> bool:
        """Say whether a column holds words, whose head stands above them on the left."""
        words = ('<td class="text"', '<td class="verdict')
        return any(cells[column].startswith(words) for _, cells in self.rows if cells)


def number(row: Row | None, column: str, shown: Callable[[str], str] = units.score) -> Markup:
    """Show one number of a CSV file, or a dash where it has none."""
    if row is None or row[column] == "":
        return Markup('<span class="none">{}</span>').format(NONE)
    return Markup(
        '<data value="{0}" data-file="{1}" data-row="{2}" data-column="{3}" data-value="{0}">{4}</data>'
    ).format(row[column], row.file, row.number, column, shown(row[column]))


def cell(row: Row | None, column: str, shown: Callable[[str], str] = units.score) -> Markup:
    """Put one number in a cell."""
    return Markup("<td>{}</td>").format(number(row, column, shown))


def with_interval(
    row: Row | None, column: str = "value", shown: Callable[[str], str] = units.score, title: str = ""
) -> Markup:
    """Put a number and its interval in a cell; ``title`` says why there is none."""
    if row is None or row[column] == "":
        words = UNAVAILABLE if title.startswith(UNAVAILABLE) else NONE
        return Markup('<td class="none" title="{}">{}</td>').format(title or "undefined", words)
    interval = Markup("")
    if row["ci_low"]:
        ends = [number(row, end, shown) for end in ("ci_low", "ci_high")]
        interval = Markup(' <span class="ci">{} to {}</span>').format(*ends)
    return Markup("<td>{}{}</td>").format(number(row, column, shown), interval)


def text(value: object, css: str = "text") -> Markup:
    """Put words in a cell."""
    return Markup('<td class="{}">{}</td>').format(css, escape(value))
