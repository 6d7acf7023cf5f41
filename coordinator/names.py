"""How an unknown name is refused: with the nearest known ones."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names was probably meant, or list them all."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known names: {', '.join(known)}"
