"""The README's first command, for real: the default study, with no argument."""

import json
from pathlib import Path

import pytest

from tests.e2e.checkout import copy_checkout, snakemake

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: this runs a whole study


def test_a_bare_snakemake_builds_the_default_report(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "checkout")
    snakemake(folder)
    assert "</html>" in (folder / "results" / "demo" / "report.html").read_text(encoding="utf-8")
    provenance = json.loads((folder / "results" / "demo" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance
    assert "Nothing to be done" in snakemake(folder)
    page = folder / "snakemake.html"
    snakemake(folder, "--report", str(page))
    assert page.stat().st_size > 0
