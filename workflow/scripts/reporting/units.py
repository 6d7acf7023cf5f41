"""Numbers as people read them; each takes the CSV's text and gives short text."""

from collections.abc import Callable
from typing import Final

Shown = Callable[[str], str]
MINUS: Final = "\u2212"
PREFIXES: Final = ("", "k", "M", "G", "T", "P")


def score(text: str) -> str:
    """Three decimals, as for every metric between 0 and 1."""
    return f"{float(text):.3f}".replace("-", MINUS)


def signed(text: str) -> str:
    """Three decimals with a sign; a value that rounds to zero has none."""
    shown = f"{float(text):+.3f}"
    return "0.000" if shown[1:] == "0.000" else shown.replace("-", MINUS)


def probability(text: str) -> str:
    """Three decimals, and no p of zero, which there is none."""
    return "<0.001" if float(text) < 0.0005 else score(text)


def count(text: str) -> str:
    """Whole numbers with thin spaces between thousands."""
    return f"{round(float(text)):,}".replace(",", "\u202f")


def plain(text: str) -> str:
    """Up to four digits that matter, without trailing zeros."""
    return f"{float(text):.4g}"


def ratio(text: str) -> str:
    """Two digits that matter, or whole numbers from 100 on."""
    value = float(text)
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"


def size(text: str) -> str:
    """Bytes in decimal units (1 kB = 1000 bytes)."""
    return _prefixed(float(text), "B")


def percent(text: str) -> str:
    """Give a share in whole per cent."""
    return f"{100 * float(text):.0f}\u00a0%"


def part(text: str) -> str:
    """Give a share in per cent, with the digits that a small one needs."""
    percent = 100 * float(text)
    return f"{percent:.{0 if percent >= 10 else 1 if percent >= 1 else 2}f}\u00a0%"


def shift(text: str) -> str:
    """Two decimals with a sign, as standardised differences are given."""
    shown = f"{float(text):+.2f}"
    return "0.00" if shown[1:] == "0.00" else shown.replace("-", MINUS)


def operations(text: str) -> str:
    """Floating-point operations in decimal units."""
    return _prefixed(float(text), "FLOP")


def duration(text: str) -> str:
    """Seconds, or minutes and seconds from two minutes on."""
    seconds = float(text)
    if seconds < 120:
        return f"{_three_digits(seconds)}\u00a0s"
    return f"{int(seconds) // 60}\u00a0min {int(seconds) % 60}\u00a0s"


MEASURES: Final[dict[str, Callable[[str], str]]] = {
    "bytes": size,
    "trials": count,
    "messages": count,
    "share": percent,
    "FLOP": operations,
    "seconds": duration,
    "parameters": count,
    "steps": count,
    "": plain,
}


def _prefixed(value: float, unit: str) -> str:
    step = 0
    while abs(value) >= 999.5 and step < len(PREFIXES) - 1:
        value, step = value / 1000, step + 1
    whole = step == 0 and value.is_integer()
    return f"{f'{value:.0f}' if whole else _three_digits(value)}\u00a0{PREFIXES[step]}{unit}"


def _three_digits(value: float) -> str:
    # 2.50, 25.0, 250: columns of one unit line up
    return f"{value:#.3g}".rstrip(".") if 0.001 <= abs(value) < 999.5 else f"{value:.3g}"
