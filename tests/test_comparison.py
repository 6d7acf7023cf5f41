"""The comparison's files: their columns, their numbers, their verdicts, and what stops them."""

import csv
import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from coordinator.command_line import main
from coordinator.comparison.differences import Effect, interval, verdict
from coordinator.comparison.provenance import provenance
from coordinator.comparison.tables import COLUMNS
from tests.synthetic_results import SITES, evaluation, labels, write_scores, write_study

COMMANDS = {"evaluate": ("coordinator.comparison.evaluate", "compare")}
Table = list[dict[str, str]]


def evaluate(spec: Path, results: Path) -> int:
    return main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(results)])


def table(results: Path, name: str) -> Table:
    with (results / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def one(rows: Table, **where: str) -> dict[str, str]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in where.items())]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec, results = write_study(tmp_path_factory.mktemp("study"))
    assert evaluate(spec, results) == 0
    return results


@pytest.fixture
def fresh(tmp_path: Path) -> tuple[Path, Path]:
    return write_study(tmp_path, bootstrap=100)


def scores(results: Path, strategy: str, seed: int, site: str) -> np.ndarray:
    path = results / f"runs/tumour/{strategy}/{seed}/predictions/{site}.parquet"
    return pq.read_table(path)["score"].to_numpy()


def test_the_outside_interface_has_exactly_its_columns(finished: Path) -> None:
    expected = {
        "comparison.csv": "task,strategy,seed,site,metric,value,ci_low,ci_high,n",
        "differences.csv": "task,strategy,reference,metric,difference,ci_low,ci_high,margin,verdict",
        "costs.csv": "task,strategy,seed,party,measure,value,unit",
        "privacy.csv": "task,strategy,seed,attack,target,measure,value,baseline,ci_low,ci_high,n,"
        "threat_model",
    }
    for name, columns in expected.items():
        assert (finished / name).read_text().splitlines()[0] == columns
    assert all((finished / name).is_file() for name in COLUMNS)
    assert not list(finished.rglob("*.partial"))


def test_every_run_place_and_metric_has_one_row(finished: Path) -> None:
    rows = table(finished, "comparison.csv")
    keys = [(row["strategy"], row["seed"], row["site"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys) == 5 * 2 * ((3 + 1) * 10 + 1)


def test_pooled_and_site_values_are_scikit_learns(finished: Path) -> None:
    rows = table(finished, "comparison.csv")
    label = np.concatenate([labels(site) for site in SITES])
    score = np.concatenate([scores(finished, "split", 1, site) for site in SITES])
    pooled = one(rows, strategy="split", seed="1", site="all", metric="auroc")
    north = one(rows, strategy="split", seed="1", site="north", metric="auroc")
    assert float(pooled["value"]) == roc_auc_score(label, score)
    assert float(north["value"]) == roc_auc_score(labels("north"), scores(finished, "split", 1, "north"))
    assert (pooled["n"], north["n"]) == ("82", "40")
    assert float(pooled["ci_low"]) < float(pooled["value"]) < float(pooled["ci_high"])


def test_stratified_weighs_sites_by_their_pairs_and_leaves_out_one_class_sites(finished: Path) -> None:
    row = one(table(finished, "comparison.csv"), strategy="local", seed="0", site="stratified")
    pairs = {site: labels(site).sum() * (1 - labels(site)).sum() for site in ("north", "south")}
    value = {site: roc_auc_score(labels(site), scores(finished, "local", 0, site)) for site in pairs}
    expected = sum(pairs[site] * value[site] for site in pairs) / sum(pairs.values())
    assert float(row["value"]) == pytest.approx(expected, abs=1e-12)
    assert row["n"] == "70"
    assert float(row["ci_low"]) < expected < float(row["ci_high"])


def test_a_one_class_site_is_empty_and_says_why(finished: Path) -> None:
    row = one(table(finished, "comparison.csv"), strategy="split", seed="0", site="west", metric="auroc")
    assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == ("", "", "", "12")
    why = one(table(finished, "figures/reasons.csv"), strategy="split", seed="0", site="west", metric="auroc")
    assert why["reason"] == "only one class among the labels"
    assert one(table(finished, "comparison.csv"), strategy="split", seed="0", site="west", metric="brier")[
        "value"
    ]


def test_differences_are_means_over_seeds_against_the_reference(finished: Path) -> None:
    rows = table(finished, "differences.csv")
    compared = [(row["strategy"], row["reference"]) for row in rows]
    assert compared == [(name, "centralized") for name in ("local", "fedavg", "split", "split_u")] + [
        ("split_u", "split")
    ]
    values = table(finished, "comparison.csv")
    gaps = [
        float(one(values, strategy="local", seed=seed, site="all", metric="auroc")["value"])
        - float(one(values, strategy="centralized", seed=seed, site="all", metric="auroc")["value"])
        for seed in "01"
    ]
    local = one(rows, strategy="local")
    assert float(local["difference"]) == pytest.approx(np.mean(gaps), abs=1e-12)
    assert (local["metric"], local["margin"], local["verdict"]) == ("auroc", "0.05", "worse")


def test_the_intervals_variance_is_that_over_patients_and_over_seeds(finished: Path) -> None:
    row = one(table(finished, "figures/effects.csv"), strategy="local", metric="auroc")
    values = table(finished, "comparison.csv")
    gaps = [
        float(one(values, strategy="local", seed=seed, site="all", metric="auroc")["value"])
        - float(one(values, strategy="centralized", seed=seed, site="all", metric="auroc")["value"])
        for seed in "01"
    ]
    assert float(row["se_seeds"]) == pytest.approx(np.sqrt(np.var(gaps, ddof=1) / 2), abs=1e-12)
    assert 0 < float(row["se_patients"]) < 0.1
    assert float(row["low_95"]) < float(row["low_90"]) < float(row["difference"])


def test_twins_are_identical_and_checked_bit_for_bit(fresh: tuple[Path, Path]) -> None:
    spec, results = fresh
    assert evaluate(spec, results) == 0
    assert one(table(results, "differences.csv"), reference="split")["verdict"] == "identical"
    path = results / "runs/tumour/split_u/1/predictions/north.parquet"
    changed = scores(results, "split_u", 1, "north").copy()
    changed[0] = np.nextafter(changed[0], 1)
    write_scores(path, "north", changed)
    assert evaluate(spec, results) == 0
    assert one(table(results, "differences.csv"), reference="split")["verdict"] == "equivalent"
    surprise = one(table(results, "figures/reasons.csv"), metric="identical")
    assert "differ" in surprise["reason"]


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [
        (0.01, 0.01, "equivalent"),
        (-0.03, 0.005, "equivalent"),  # not zero, but inside the margin
        (-0.09, 0.02, "worse"),
        (0.09, 0.02, "better"),
        (-0.03, 0.03, "inconclusive"),
        (-0.045, 0.024, "inconclusive"),  # the 90 % interval excludes 0, the 95 % does not
        (0.0, 0.0, "equivalent"),
        (-0.08, 0.0, "worse"),
        (float("nan"), float("nan"), "inconclusive"),
    ],
)
def test_verdicts(difference: float, error: float, expected: str) -> None:
    assert verdict(Effect(difference, error, 0.0, 1000.0, 5), 0.05) == expected


def test_two_seeds_that_disagree_widen_the_interval_more_than_ten() -> None:
    two, ten = (interval(Effect(0.0, 0.0, 0.01, seeds - 1.0, seeds), 0.9)[1] for seeds in (2, 10))
    assert two == pytest.approx(0.0631, abs=1e-4)  # Student, one degree of freedom: 6.31
    assert ten == pytest.approx(0.0183, abs=1e-4)


def test_costs_are_long_with_units_and_averaged_for_the_report(finished: Path) -> None:
    rows = table(finished, "costs.csv")
    row = one(rows, strategy="fedavg", seed="1", party="north", measure="bytes_down")
    assert (row["value"], row["unit"]) == ("1235", "bytes")
    mean = one(table(finished, "figures/spent.csv"), strategy="fedavg", party="north", measure="bytes_down")
    assert (mean["value"], mean["seeds"]) == ("1234.5", "2")
    measures = {
        "bytes_up",
        "bytes_down",
        "flops",
        "seconds",
        "cpu_seconds",
        "peak_memory",
        "parameters",
        "steps",
    }
    assert measures <= {row["measure"] for row in rows}
    assert all(row["unit"] for row in rows)


def test_privacy_says_what_was_sent_and_no_more(finished: Path) -> None:
    rows = table(finished, "privacy.csv")
    assert {row["attack"] for row in rows} == {"sent"}
    assert {row["threat_model"] for row in rows} == {"curious_coordinator"}
    shares = {row["strategy"]: row["value"] for row in rows if row["target"] == "labels"}
    assert shares == {"centralized": "1.0", "local": "0.0", "fedavg": "0.0", "split": "1.0", "split_u": "0.0"}
    sent = {
        (row["strategy"], row["target"]): float(row["value"]) for row in rows if row["measure"] == "bytes"
    }
    assert sent["split", "activations"] == 3 * 70800  # three sites, all phases, not the coordinator's count
    assert sent["split_u", "gradients"] == 3 * 600
    assert sent["fedavg", "parameters"] == 3 * 9000
    assert sent["centralized", "records"] == 5000
    assert sent["local", "activations"] == sent["local", "parameters"] == 0


def test_runs_that_count_no_kinds_have_no_rows_in_bytes(fresh: tuple[Path, Path]) -> None:
    spec, results = fresh
    path = results / "runs/tumour/split/0/costs.json"
    costs = json.loads(path.read_text())
    path.write_text(json.dumps({party: {"bytes_up": 5} for party in costs}))
    assert evaluate(spec, results) == 0
    rows = table(results, "privacy.csv")
    assert [row["measure"] for row in rows if (row["strategy"], row["seed"]) == ("split", "0")] == ["share"]


def test_learning_shows_the_trial_that_validation_chose(finished: Path) -> None:
    rows = [
        row
        for row in table(finished, "figures/learning.csv")
        if row["strategy"] == "split" and row["seed"] == "0"
    ]
    assert [row["learning_rate"] for row in rows] == ["0.001"] * 3
    assert [row["site"] for row in rows] == ["all"] * 3
    assert [row["bytes"] for row in rows] == ["150.0", "300.0", "450.0"]  # since this trial began
    assert [row["best"] for row in rows] == ["0", "0", "1"]
    chosen = table(finished, "figures/chosen.csv")
    assert {row["site"] for row in chosen if row["strategy"] == "local"} == set(SITES)
    assert one(chosen, strategy="split", seed="0")["tried"] == "2"


def test_cohort_and_quarantine_come_from_the_sites_summaries(finished: Path) -> None:
    south = one(table(finished, "figures/cohort.csv"), site="south")
    assert (south["title"], south["test_records"], south["quarantined"]) == ("South hospital", "30", "2")
    set_aside = one(table(finished, "figures/quarantine.csv"), site="south")
    assert set_aside["reason"] == "label outside the set"
    assert float(set_aside["share"]) == pytest.approx(2 / 152)
    assert (south["events"], south["test_events"]) == ("50", "")  # a few patients' outcomes are not counted
    assert (
        one(table(finished, "figures/warnings.csv"), site="west")["warning"] == "only one class in training"
    )


def test_what_the_agreement_left_out_is_listed_by_seed(finished: Path) -> None:
    cells = {(row["seed"], row["site"]): row["cells"] for row in table(finished, "figures/suppressed.csv")}
    assert (cells["0", "south"], cells["1", "south"]) == ("4", "5")
    assert cells["1", "north"] == "0"
    lost = table(finished, "figures/uncounted.csv")
    assert [one(lost, seed=seed, variable="all")["uncounted"] for seed in ("0", "1")] == ["11", "12"]


def test_a_missing_agreement_stops_with_its_name(
    fresh: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    spec, results = fresh
    shutil.rmtree(results / "statistics" / "tumour" / "1")
    assert evaluate(spec, results) == 2
    assert "statistics/tumour/1/statistics.json" in capsys.readouterr().err


def test_provenance_does_not_depend_on_where_the_files_lay(tmp_path: Path) -> None:
    _, results = write_study(tmp_path)
    hashes = set()
    for root in (None, "/home/somebody/data"):
        found = provenance(evaluation(tmp_path, data_root=root), results)
        assert "somebody" not in json.dumps(found)
        hashes.add(found["hashes"]["specification"])
    assert len(hashes) == 1


def test_provenance_names_versions_hashes_and_walls_but_no_host(finished: Path) -> None:
    text = (finished / "provenance.json").read_text()
    found = json.loads(text)
    assert found["isolation"]["level"] == "none: plain processes on the host"
    assert found["config"]["seeds"] == [0, 1]
    assert set(found["hashes"]["prepared"]) == {f"tumour-{site}" for site in SITES}
    assert {"python", "torch", "snakemake", "zmq", "numpy"} <= set(found["versions"])
    assert len(found["hashes"]["code"]["coordinator"]) == 64
    host = platform.node()
    assert len(host) < 4 or host not in text


def test_the_same_files_give_the_same_tables(fresh: tuple[Path, Path], tmp_path: Path) -> None:
    spec, results = fresh
    assert evaluate(spec, results) == 0
    before = {name: (results / name).read_bytes() for name in COLUMNS}
    assert evaluate(spec, results) == 0
    assert {name: (results / name).read_bytes() for name in COLUMNS} == before


def _remove_run(results: Path) -> None:
    shutil.rmtree(results / "runs/tumour/fedavg/1")


def _cut_file(results: Path) -> None:
    path = results / "runs/tumour/fedavg/1/predictions/north.parquet"
    path.write_bytes(path.read_bytes()[:100])


def _bad_score(results: Path) -> None:
    write_scores(results / "runs/tumour/fedavg/1/predictions/north.parquet", "north", np.full(40, 1.5))


def _other_site(results: Path) -> None:
    folder = results / "runs/tumour/fedavg/1/predictions"
    shutil.copy(folder / "south.parquet", folder / "north.parquet")


def _bad_costs(results: Path) -> None:
    (results / "runs/tumour/fedavg/1/costs.json").write_text('{"north": 3}')


def _bad_history(results: Path) -> None:
    (results / "runs/tumour/fedavg/1/history.jsonl").write_text('{"round": 1}\n')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_remove_run, ["run tumour/fedavg/1", "is missing"]),
        (_cut_file, ["fedavg/1/predictions/north.parquet", "not a readable Parquet"]),
        (_bad_score, ["score 1.5", "between 0 and 1"]),
        (_other_site, ["fedavg/1", "differ", "same frozen patients"]),
        (_bad_costs, ["costs.json", "expected"]),
        (_bad_history, ["history.jsonl:1", "'trial' is missing"]),
    ],
)
def test_a_missing_or_damaged_run_stops_with_its_name(
    fresh: tuple[Path, Path], capsys: pytest.CaptureFixture[str], damage: object, words: list[str]
) -> None:
    spec, results = fresh
    damage(results)  # type: ignore[operator]
    assert evaluate(spec, results) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
    assert not (results / "comparison.csv").exists()


def test_a_diverged_run_is_undefined_and_does_not_stop_the_others(fresh: tuple[Path, Path]) -> None:
    spec, results = fresh
    write_scores(results / "runs/tumour/fedavg/1/predictions/north.parquet", "north", np.full(40, np.nan))
    assert evaluate(spec, results) == 0
    rows = table(results, "comparison.csv")
    assert one(rows, strategy="fedavg", seed="1", site="all", metric="brier")["value"] == ""
    assert one(rows, strategy="fedavg", seed="1", site="south", metric="brier")["value"] != ""
    judged = one(table(results, "differences.csv"), strategy="fedavg")
    assert (judged["difference"], judged["verdict"]) == ("", "inconclusive")
