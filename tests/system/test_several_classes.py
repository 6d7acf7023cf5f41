"""A study of three classes by real processes: a table and images, from raw files to the report."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests import three_classes
from tests.e2e.checkout import snakemake
from tests.e2e.tiny_study import run_command
from tests.report_page import read_page, wrong_numbers

pytestmark = pytest.mark.timeout(900)  # a hang, not slowness: this runs a whole study
ROOT = Path(__file__).resolve().parents[2]
REPORT = "results/classes/report.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the study as far as its report."""
    path = tmp_path_factory.mktemp("classes")
    study = three_classes.write(path)
    snakemake(path, "-s", str(ROOT / "Snakefile"), "--configfile", str(study), "--cores", "2", "--", REPORT)
    return path


def rows(folder: Path, name: str, **where: str) -> list[dict[str, str]]:
    with (folder / "results/classes" / name).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [row for row in found if all(row[column] == value for column, value in where.items())]


def scores(folder: Path, run: str) -> pd.DataFrame:
    files = (folder / "results/classes/runs" / run / "predictions").glob("*.parquet")
    return pd.concat([pd.read_parquet(path) for path in sorted(files)])


def test_the_mean_over_classes_is_what_strategies_are_compared_by(folder: Path) -> None:
    for task, strategy in (("wine", "centralized"), ("wine", "fedavg"), ("digits", "split_u")):
        found = scores(folder, f"{task}/{strategy}/0")
        of_classes = found.filter(like="score_").to_numpy()
        area = roc_auc_score(found["label"], of_classes, multi_class="ovr", average="macro")
        (row,) = rows(folder, "comparison.csv", task=task, strategy=strategy, site="all", metric="auroc")
        assert float(row["value"]) == pytest.approx(area, abs=1e-12)
        assert area > 0.7
    verdicts = {(row["task"], row["strategy"]): row["verdict"] for row in rows(folder, "differences.csv")}
    assert verdicts.pop(("wine", "fedavg")) != "identical"
    # bit for bit what the pool gives, on a table and on images, whoever has the labels
    assert verdicts == dict.fromkeys([("wine", "split"), ("digits", "split_u")], "identical")


def test_every_class_is_told_with_its_records(folder: Path) -> None:
    found = rows(folder, "figures/classes.csv", task="wine", strategy="split")
    labels = np.bincount(scores(folder, "wine/split/0")["label"])
    assert [row["class"] for row in found] == list(three_classes.CULTIVARS)
    assert [int(row["records"]) for row in found] == labels.tolist()
    levels = rows(folder, "figures/table1.csv", task="wine", site="north", variable="cultivar")
    assert [row["level"] for row in levels] == ["", *three_classes.CULTIVARS]


def test_the_report_shows_them_and_says_what_was_not_drawn(folder: Path) -> None:
    page = read_page((folder / REPORT).read_text(encoding="utf-8"))
    assert not wrong_numbers(page, folder / "results/classes")
    assert "AUROC of each class against all others" in page.text
    assert "mean one-vs-rest AUROC" in page.text
    assert "of more than two classes there is no one curve" in page.text
    shown = {(number.file, number.column) for number in page.numbers}
    assert {("figures/classes.csv", "value"), ("figures/classes.csv", "records")} <= shown


def test_an_exported_model_predicts_each_class(folder: Path, tmp_path: Path) -> None:
    run = folder / "results/classes/runs/wine/centralized/0"
    run_command(tmp_path, "coordinator", "export", "--run", run, "--out", "exported")
    card = (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")
    assert "whose softmax is its probability: `class_0`, `class_1`, `class_2`" in card
    prepared = json.loads((tmp_path / "exported" / "model.json").read_text())["run"]["prepared"]["north"]
    given = ["--model", "exported", "--prepared", folder / prepared, "--out", "found.csv"]
    run_command(tmp_path, "sites", "predict", *given)
    found = pd.read_csv(tmp_path / "found.csv").set_index("record")
    released = pd.read_parquet(run / "predictions" / "north.parquet").set_index("record")
    for name in three_classes.CULTIVARS:
        mine = found.loc[released.index, f"probability_{name}"]
        assert mine.tolist() == released[f"score_{name}"].tolist()  # every bit
