"""Specs and small hospitals for the tests of preparation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.config import Data, Partition, Scanner, Site, Split
from coordinator.specs import Deal, Preparation

SITES = (
    Site(name="north", title="North", scanner=Scanner(bits=12)),
    Site(name="south", scanner=Scanner(bits=8, photometric="MONOCHROME1", spacing_mm=0.14, contrast=0.7)),
    Site(name="east", scanner=Scanner(bits=16, spacing_mm=0.3, contrast=1.4)),
)


@pytest.fixture(scope="session")
def deal_spec() -> Callable[..., Deal]:
    """Make the spec of a deal to three sites with different scanners."""

    def make(source: str, seed: int = 0, **data: object) -> Deal:
        return Deal(data=Data(source=source, **data), sites=SITES, seed=seed)

    return make


@pytest.fixture(scope="session")
def preparation() -> Callable[..., Preparation]:
    """Make the spec of a preparation at the first site."""

    def make(source: str, *, missing: str = "impute", pixels: int = 16, **changes: object) -> Preparation:
        modalities = ("image",) if source == "network" else ("table",)
        fixed = {"source": source, "missing": missing, "pixels": pixels, "modalities": modalities}
        plain = {
            "site": SITES[0],
            "data": Data(**fixed, partition=Partition()),
            "modalities": modalities,
            "min_cell": 5,
            "split": Split(),
            "split_seed": 0,
            "min_patients": 10,
        }
        return Preparation(**{**plain, **changes})

    return make


@pytest.fixture
def heart_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a heart file of `rows` invented patients; `edit` maps a line's number to its new text."""

    def make(rows: int = 40, edit: dict[int, str] | None = None) -> Path:
        lines = [
            f"{40 + i % 30},{i % 2},{1 + i % 4},{110 + i},{200 + i},{i % 2},{i % 3},150,{i % 2},1.{i % 9},"
            f"?,?,?,{i % 5}"
            for i in range(rows)
        ]
        for line, text in (edit or {}).items():
            lines[line - 1] = text
        path = tmp_path / "processed.test.data"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return make
