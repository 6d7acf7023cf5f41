"""Images beside what attacks made of them, where the study and every site allow them to be shown."""

from dataclasses import dataclass

from reporting import units
from reporting.files import Results, Row, distinct

ORDER = ("worst", "median", "best")


@dataclass(frozen=True)
class Strip:
    """One attack's images in a row."""

    title: str
    rows: list[Row]

    def psnr(self, row: Row) -> str:
        """Say how near a reconstruction is."""
        return f"{units.plain(row['psnr'])}\u00a0dB"


def gallery(results: Results, task: str) -> list[Strip]:
    """Give a strip per strategy and attack; strategies whose images are the same are shown once."""
    rows = results.rows("figures/gallery.csv", task=task)
    strips: dict[tuple[str, ...], Strip] = {}
    for strategy in distinct(rows, "strategy"):
        for attack in distinct((row for row in rows if row["strategy"] == strategy), "attack"):
            own = [row for row in rows if (row["strategy"], row["attack"]) == (strategy, attack)][:3]
            same = (attack, *(row["reconstruction"] for row in own))
            strips.setdefault(same, Strip(f"{attack} ({strategy})", own))
    return list(strips.values())
