"""The same runs compared both ways: from the scores, and from what each site tells of them."""

import json

import numpy as np
import pandas as pd
import pytest

from coordinator import specs
from coordinator.algorithms.estimating import coordinator_estimate
from coordinator.comparison.evaluate import compare
from coordinator.errors import ConfigError, DataError, ProtocolError
from coordinator.metrics import METRICS
from coordinator.protocol.messages import Estimated
from coordinator.specs import Estimation, Evaluation
from sites.estimating import estimate
from tests.federated_results import Channel, estimate_task
from tests.synthetic_results import SITES, write_study

CELL = 3


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Give the tables from scores, those from estimates, what the sites told, and the study."""
    folder = tmp_path_factory.mktemp("both")
    path, results = write_study(folder, min_cell=CELL)
    spec = specs.read(Evaluation, path)
    asked, told = estimate_task(folder, spec, results, "tumour")
    for scores in results.rglob("predictions"):
        scores.rename(scores.with_name("gone"))
    study = spec.study.model_copy(update={"evaluation": "federated", "release": "nothing"})
    federated = compare(spec.model_copy(update={"study": study}), results)
    for scores in results.rglob("gone"):
        scores.rename(scores.with_name("predictions"))
    return compare(spec, results), federated, told, asked


def by_place(rows):
    return {(row["strategy"], row["seed"], row["site"], row["metric"]): row for row in rows}


def test_a_site_s_metrics_are_those_from_its_scores_or_are_not_told(both):
    ours, theirs = by_place(both[0]["comparison.csv"]), by_place(both[1]["comparison.csv"])
    shown = [place for place, row in theirs.items() if place[2] in SITES and row["value"] is not None]
    assert len(shown) > 100
    for place in shown:
        assert theirs[place]["value"] == pytest.approx(ours[place]["value"], abs=1e-12)
    reasons = {row["reason"] for row in both[1]["figures/reasons.csv"]}
    assert f"not told: it would count fewer than {CELL} patients" in reasons


def test_accuracy_is_told_only_where_each_count_behind_it_is_of_enough_patients(both):
    told, hidden = 0, 0
    for site in SITES:
        for place, (run, path) in enumerate(both[3].scores[site].items()):
            table = pd.read_parquet(path)
            right = (table["score"] >= 0.5) == (table["label"] == 1)
            counts = table.groupby([table["label"], right])["patient"].nunique()
            known = both[2][site].values[place, list(METRICS).index("accuracy"), 0]
            assert np.isnan(known) == bool((counts < CELL).any()), (site, run)
            told, hidden = told + (not np.isnan(known)), hidden + np.isnan(known)
    assert told > 2
    assert hidden > 2


def test_means_over_records_are_those_over_all_records(both):
    ours, theirs = by_place(both[0]["comparison.csv"]), by_place(both[1]["comparison.csv"])
    for strategy in ("centralized", "local", "fedavg"):
        place = (strategy, 0, "all", "brier")
        assert theirs[place]["value"] == pytest.approx(ours[place]["value"], abs=1e-12)
        assert theirs[(*place[:3], "auprc")]["value"] is None


def test_the_study_s_value_and_its_interval_are_those_from_scores(both):
    """DeLong's interval of the mean of sites needs no score to leave: the same number both ways."""
    ours, theirs = (
        {
            (row["strategy"], row["site"]): row
            for row in tables["figures/summary.csv"]
            if row["metric"] == "auroc"
        }
        for tables in both[:2]
    )
    for strategy in ("centralized", "local", "fedavg", "split"):
        for column in ("value", "ci_low", "ci_high", "seed_low", "seed_high"):
            expected = ours[strategy, "stratified"][column]
            assert theirs[strategy, "stratified"][column] == pytest.approx(expected, abs=1e-12)


def test_differences_are_those_from_scores_and_intervals_near(both):
    """The estimates are DeLong's, those from scores the bootstrap's: 1e-12 in value, near in width."""
    ours, theirs = (
        {
            row["strategy"]: row
            for row in tables["figures/effects.csv"]
            if (row["metric"], row["reference"]) == ("auroc_stratified", "centralized")
        }
        for tables in both[:2]
    )
    for strategy in ("local", "fedavg", "split"):
        one, other = ours[strategy], theirs[strategy]
        assert other["difference"] == pytest.approx(one["difference"], abs=1e-12)
        width = one["high_95"] - one["low_95"]
        assert other["high_95"] - other["low_95"] == pytest.approx(width, rel=0.3, abs=0.01)
    verdicts = {(row["strategy"], row["reference"]): row["verdict"] for row in both[1]["differences.csv"]}
    assert verdicts["split_u", "split"] == "identical"


def test_the_distance_to_scores_is_shown_in_both_modes(both):
    ours, theirs = (tables["figures/per_site.csv"] for tables in both[:2])
    for one, other in zip(ours, theirs, strict=True):
        assert {**one, "pooled": None} == pytest.approx(other, abs=1e-12)
        assert abs(one["binned"] - one["pooled"]) <= one["bound"]


def test_no_score_is_in_what_a_site_sends(both):
    """No array has an entry per record, and no number of a run's scores stands in the message."""
    told = both[2]["north"]
    scores = np.concatenate([
        pd.read_parquet(path)["score"].to_numpy() for path in both[3].scores["north"].values()
    ])  # fmt: skip
    fields = [getattr(told, name) for name in told.__struct_fields__]
    sent = np.concatenate([each.ravel() for each in fields if isinstance(each, np.ndarray)])
    assert not np.isin(sent[~np.isnan(sent)], scores).any()
    assert told.groups[:, 4].min() >= CELL


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"areas": np.full(10, 1.5)}, "outside its limits"),
        ({"areas": np.zeros(3)}, "areas has the shape"),
        ({"groups": np.array([[0, 0, 0, 3, 1]])}, "a group of fewer than 3"),
        ({"groups": np.array([[0, 0, 0, 3, 9]])}, "have the outcome"),
        ({"events": 999}, "999 events"),
        ({"reasons": {"0/auroc": "x" * 201}}, "a reason of more than"),
        ({"same": np.full(10, 10)}, "outside its limits"),
    ],
)
def test_estimates_that_cannot_be_are_refused(both, changes, why):
    told = {name: getattr(both[2]["north"], name) for name in Estimated.__struct_fields__} | changes
    with pytest.raises(ProtocolError, match=why):
        coordinator_estimate(both[3], Channel({**both[2], "north": Estimated(**told)}))
    assert coordinator_estimate(both[3], Channel(both[2])) == both[2]


def test_scores_of_another_run_are_refused(both):
    other: Estimation = both[3].model_copy(update={"runs": {**both[3].runs, "split/0": "another"}})
    with pytest.raises(DataError, match="of another run"):
        estimate(other, "north")
    lacking = {**both[3].scores["north"], "split/0": "nowhere.parquet"}
    gone = both[3].model_copy(update={"scores": {**both[3].scores, "north": lacking}})
    with pytest.raises(DataError, match="kept no scores of split/0"):
        estimate(gone, "north")
    told = estimate(gone.model_copy(update={"away": ("split",)}), "north")
    place = list(both[3].runs).index("split/0")
    assert np.isnan(told.areas[place])
    assert "away" in told.reasons[f"{place}/auroc"]
    assert np.isfinite(np.delete(told.areas, place)).all()


def test_estimates_of_other_runs_are_not_compared(both, tmp_path):
    path, results = write_study(tmp_path)
    spec = specs.read(Evaluation, path)
    study = spec.study.model_copy(update={"evaluation": "federated"})
    spec = spec.model_copy(update={"study": study})
    with pytest.raises(ConfigError, match="let the sites estimate first"):
        compare(spec, results)
    folder = results / "estimates" / "tumour"
    folder.mkdir(parents=True)
    sites = {site: {"metrics": list(METRICS)} for site in SITES}
    (folder / "estimates.json").write_text(json.dumps({"runs": ["split/7"], "sites": sites}))
    with pytest.raises(DataError, match="are not this study's"):
        compare(spec, results)
