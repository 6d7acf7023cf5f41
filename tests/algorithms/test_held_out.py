"""A hospital that only tests changes nobody's model, and is scored by it; alone it has none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coordinator import specs
from coordinator.algorithms import federated
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.comparison.evaluate import compare
from coordinator.schedule import Batch, schedule
from coordinator.specs import Evaluation
from tests import federation, synthetic_results
from tests.federation import a_run, federate

PRESETS = {
    "centralized": {},
    "local": {},
    "fedavg": {},
    "fedavg, equal weights": {"site_weights": "equal"},
    "split": {},
    "split_u": {"cut": ("layer1", "layer2")},
    "split_private": {"cut": ("layer1", "layer2")},
}
TRAINED = (37, 22)  # records of the sites that train


def held_out(monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    """Take the site's validation records too, as preparation does."""

    def cohort_of(shape, train, validation, test, events):
        return Cohort(shape, train, (*validation[:index], 0, *validation[index + 1 :]), test, events)

    monkeypatch.setattr(federation, "Cohort", cohort_of)


def run_of(name, sizes):
    changes, preset = dict(PRESETS[name]), name.partition(",")[0]
    weights = changes.pop("site_weights", "records")
    run = a_run(preset, sizes, training={"optimizer": "adam"}, **changes)
    return run.model_copy(update={"site_weights": weights})


def parts(party):
    return {
        f"{name}/{key}": value
        for name, part in party.parts.items()
        for key, value in part.state_dict().items()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_site_that_only_tests_leaves_the_others_models_bit_for_bit(name, monkeypatch):
    _, without, _ = federate(run_of(name, TRAINED), TRAINED)
    sizes = (*TRAINED, 0)
    held_out(monkeypatch, 2)
    _, found, _ = federate(run_of(name, sizes), sizes)
    compared = 0
    for site in without:
        expected, now = parts(without[site][0]), parts(found[site][0])
        assert expected.keys() == now.keys()
        for key, value in expected.items():
            assert torch.equal(value, now[key]), (site, key)
            compared += 1
        for one, other in zip(without[site][1], found[site][1], strict=False):
            assert torch.equal(one, other)
    assert compared


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", PRESETS)
def test_it_is_scored_by_the_trained_model_wherever_it_stands(name, place, monkeypatch):
    sizes = (*TRAINED[:place], 0, *TRAINED[place:])
    held_out(monkeypatch, place)
    _, found, _ = federate(run_of(name, sizes), sizes)
    logits = found["pooled"][1][place] if name == "centralized" else found[f"site{place}"][1][0]
    assert logits.shape == (7, 1)
    if name in ("local", "split_private"):
        assert logits.isnan().all()
        assert not found[f"site{place}"][0].parts
        assert all(found[f"site{n}"][1][0].isfinite().all() for n in range(3) if n != place)
    else:
        assert logits.isfinite().all()
        assert logits.std() > 0
    if name.startswith("fedavg"):
        held, other = (parts(found[f"site{n}"][0]) for n in (place, (place + 1) % 3))
        assert all(torch.equal(held[key], other[key]) for key in other)


def test_it_has_no_turn_and_no_weight():
    sizes = (37, 0, 22)
    batches = [item for item in schedule(a_run("split", sizes), sizes) if isinstance(item, Batch)]
    assert {batch.site for batch in batches} == {0, 2}
    for how, expected in (("records", [37.0, 0.0, 22.0]), ("equal", [1.0, 0.0, 1.0])):
        run = a_run("fedavg", sizes).model_copy(update={"site_weights": how})
        party = Party(run, Cohort((6,), sizes, (5, 0, 5), (7, 7, 7)))
        assert federated.site_weights(party, (0, 1, 2)) == expected


@pytest.mark.parametrize("preset", ["local", "split_private", "multi_head", "splitfed_v3", "fedbn"])
def test_the_comparison_says_where_there_is_no_model(preset, tmp_path: Path):
    spec_path, results = synthetic_results.write_study(
        tmp_path, tasks={"tumour": {
            "data": {"source": "breast_cancer"}, "sites": list(synthetic_results.SITES),
            "model": {"name": "mlp", "hidden": [8, 4]}, "cut": "layer1", "training": {"rounds": 3},
            "split": {"held_out": ["south"]},
        }},
        strategies={"local": {"preset": preset}, "fedavg": {}}, reference="fedavg",
    )  # fmt: skip
    for folder in (results / "runs" / "tumour" / "local").iterdir():
        size = synthetic_results.SIZES["south"]
        synthetic_results.write_scores(
            folder / "predictions" / "south.parquet", "south", np.full(size, np.nan)
        )
    tables = compare(specs.read(Evaluation, spec_path), results)
    rows = [row for row in tables["comparison.csv"] if row["strategy"] == "local"]
    empty = {row["site"] for row in rows if row["value"] is None and row["metric"] == "brier"}
    assert empty == {"south", "all"}
    reasons = {row["reason"] for row in tables["figures/reasons.csv"] if row["strategy"] == "local" and
               row["site"] in ("south", "all", "stratified")}  # fmt: skip
    assert reasons == {"not available: no part was trained at south, held out"}
    others = [
        row for row in tables["comparison.csv"] if row["strategy"] == "fedavg" and row["site"] == "south"
    ]
    assert all(row["value"] is not None for row in others)
    assert others
    if preset == "local":
        chosen = {row["site"] for row in tables["figures/chosen.csv"] if row["strategy"] == "local"}
        assert chosen == {"north", "west"}


def test_where_a_site_has_trained_scores_that_are_no_numbers_are_a_divergence(tmp_path: Path):
    spec_path, results = synthetic_results.write_study(
        tmp_path, strategies={"local": {"preset": "splitfed_v3"}}, reference="local"
    )
    for folder in (results / "runs" / "tumour" / "local").iterdir():
        size = synthetic_results.SIZES["south"]
        synthetic_results.write_scores(
            folder / "predictions" / "south.parquet", "south", np.full(size, np.nan)
        )
    tables = compare(specs.read(Evaluation, spec_path), results)
    reasons = {row["reason"] for row in tables["figures/reasons.csv"] if row["site"] == "south"}
    assert reasons == {"a score is not a finite number: training diverged"}
