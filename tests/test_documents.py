"""What documents say of results is what the committed tables say."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT

KEPT = ROOT / "docs/tables"
SCRIPT = ROOT / "workflow/scripts/documents.py"


def documents(*words: object) -> None:
    subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], check=True)


@pytest.mark.parametrize("name", ["README.md", "docs/RESULTS.md"])
def test_tables_in_documents_are_those_of_the_files(tmp_path: Path, name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "<!-- table " in text
    copy = tmp_path / "copy.md"
    copy.write_text(text, encoding="utf-8")
    documents("put", KEPT, copy)
    assert copy.read_text(encoding="utf-8") == text


def test_a_changed_file_changes_the_document(tmp_path: Path) -> None:
    rows = pd.read_csv(KEPT / "auroc.csv")
    rows["value"] = rows["value"] / 2
    for other in ("differences.csv", "costs.csv"):
        (tmp_path / other).write_bytes((KEPT / other).read_bytes())
    rows.to_csv(tmp_path / "auroc.csv", index=False)
    page = tmp_path / "page.md"
    page.write_text("<!-- table accuracy_heart -->\n<!-- end -->\n", encoding="utf-8")
    documents("put", tmp_path, page)
    own = rows[(rows.task == "heart") & (rows.strategy == "split") & (rows.site == "all")].value
    assert f"| `split` | {own.mean():.3f}".replace("0.", ".", 1) in page.read_text(encoding="utf-8")


def test_tasks_taken_before_stay(tmp_path: Path) -> None:
    kept, results = tmp_path / "kept", tmp_path / "results"
    results.mkdir()
    costs = "task,strategy,seed,party,measure,value,unit\n{0},split,0,north,flops,{1},operations\n"
    scores = "task,strategy,seed,site,metric,value,ci_low,ci_high,n\n{0},split,0,all,auroc,.{1},,,9\n"
    columns = "task,strategy,reference,metric,difference,ci_low,ci_high,margin,verdict\n"
    differences = columns + "{0},split,centralized,auroc,.{1},0,0,.05,equivalent\n"
    for task, value in (("one", 1), ("two", 2), ("one", 3)):
        for name, text in (("costs", costs), ("comparison", scores), ("differences", differences)):
            (results / f"{name}.csv").write_text(text.format(task, value), encoding="utf-8")
        documents("take", results, kept)
    found = pd.read_csv(kept / "auroc.csv").set_index("task").value
    assert dict(found) == {"two": 0.2, "one": 0.3}
