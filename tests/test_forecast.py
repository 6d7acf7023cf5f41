"""What a study will take: runs still to do, times what such runs took."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SUMMARY = """output_file\tdate\trule\tlog-file(s)\tstatus\tplan
results/s/runs/heart/split/0/weights.sha256\tnow\ttrain\t-\tok\tno update
results/s/runs/heart/split/1/weights.sha256\t-\ttrain\t-\tmissing\tupdate pending
results/s/runs/heart/split/1/costs.json\t-\ttrain\t-\tmissing\tupdate pending
results/s/runs/heart/split/2/weights.sha256\t-\ttrain\t-\tmissing\tupdate pending
results/s/runs/heart/new/0/weights.sha256\t-\ttrain\t-\tmissing\tupdate pending
results/s/runs/eicu_fold3/split/0/weights.sha256\t-\ttrain\t-\tmissing\tupdate pending
results/s/runs/lungs/split/0/weights.sha256\t-\ttrain\t-\tmissing\tupdate pending
results/s/report.html\t-\treport\t-\tmissing\tupdate pending
"""


def benchmark(folder: Path, run: str, seconds: float, processor: float) -> None:
    path = folder / "s/benchmarks/train" / f"{run}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:00\t1\t{processor}\n", encoding="utf-8")


def forecast(folder: Path) -> list[list[str]]:
    script = str(ROOT / "workflow/scripts/forecast.py")
    words = ["--benchmarks", str(folder / "s/benchmarks"), "--kept", str(folder / "kept.csv"), "--cores", "2"]
    done = subprocess.run(
        [sys.executable, script, *words], input=SUMMARY, capture_output=True, text=True, check=True
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_runs_to_do_take_what_such_runs_took(tmp_path: Path) -> None:
    benchmark(tmp_path, "heart/split/0", 3600, 1800)
    benchmark(tmp_path, "heart/split/9", 7200, 5400)
    kept = "task,strategy,seconds,cpu_seconds,study\n"
    kept += "heart,split,1,1,s\neicu,split,60,3600,s\nlungs,split,1,1,another\n"
    (tmp_path / "kept.csv").write_text(kept, encoding="utf-8")
    rows = {tuple(words[:2]): words[2:] for words in forecast(tmp_path)}
    assert rows["heart", "split"] == ["2", "90.0", "2.00", "itself"]  # two runs of an hour, by its own files
    assert rows["heart", "new"] == ["1", "90.0", "1.00", "the", "task's", "other", "strategies"]
    assert rows["eicu", "split"] == ["1", "1.0", "1.00", "itself"]  # a fold as any fold
    assert rows["lungs", "split"] == ["1", "?", "?", "nothing", "yet"]
    said = " ".join(word for words in forecast(tmp_path)[-2:] for word in words)
    assert "5 runs to do: 4.00 CPU hours, about 2.26 hours with 2 side by side" in said
    assert "1 of them not counted" in said


def test_what_parties_paid_counts_where_the_job_did_not_start_them(tmp_path: Path) -> None:
    benchmark(tmp_path, "heart/split/0", 3600, 1)
    run = tmp_path / "s/runs/heart/split/0"
    run.mkdir(parents=True)
    paid = {"coordinator": {"cpu_seconds": 1800.0, "bytes_up": 9.0}, "north": {"cpu_seconds": 5400.0}}
    (run / "costs.json").write_text(json.dumps(paid))
    rows = {tuple(words[:2]): words[2:] for words in forecast(tmp_path)}
    assert rows["heart", "split"] == ["2", "60.0", "4.00", "itself"]


@pytest.mark.parametrize("rest", ["", "heart/split/0"])
def test_where_nothing_is_known_that_is_said(tmp_path: Path, rest: str) -> None:
    if rest:
        benchmark(tmp_path, rest, 60, 60)
    rows = {tuple(words[:2]): words[2:] for words in forecast(tmp_path)}
    assert rows["lungs", "split"] == ["1", "?", "?", "nothing", "yet"]
    assert (rows["heart", "split"][1] == "?") == (not rest)
