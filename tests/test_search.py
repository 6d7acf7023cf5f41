"""What the search for a learning rate costs: counted by trial, shown as a share."""

import json
from itertools import count, pairwise

import pytest
from synthetic_results import evaluation

from coordinator.comparison.costs import cost_rows, read_costs
from coordinator.config import Strategy, Training, TrainingChange
from coordinator.errors import ConfigError
from coordinator.runs import runs_of
from coordinator.schedule import Begin, Validate
from coordinator.search import Search

RATES = (0.1, 0.01, 0.001)


@pytest.mark.parametrize(("kept", "bytes_", "releases"), [(0, 600, 6), (1, 600, 6), (2, 600, 6)])
def test_trials_that_were_not_kept_are_the_search(kept, bytes_, releases):
    total = count(1)
    search = Search(lambda: (100 * (step := next(total)), step))
    for trial, rate in enumerate(RATES):
        search.see(Begin(trial, rate), None)
        for round_ in range(3):
            search.see(Validate(trial, round_), None)
    found = search.costs(kept)
    assert found == {"trials": 3, "releases": 10, "search_bytes": bytes_, "search_releases": releases}


def test_one_rate_is_no_search():
    search = Search(lambda: (100, 7))
    search.see(Validate(0, 0), None)
    assert search.costs(0) == {"trials": 1, "releases": 7, "search_bytes": 0, "search_releases": 0}


def test_the_default_grid_is_geometric_and_of_six_rates():
    rates = Training().learning_rates
    assert len(rates) == 6
    ratios = [after / before for before, after in pairwise(rates)]
    assert all(3 <= ratio + 1e-9 <= 3.34 for ratio in ratios)


def test_a_strategy_that_tries_more_rates_than_another_is_refused(tmp_path):
    study = evaluation(tmp_path).study
    wider = Strategy(training=TrainingChange(learning_rates=RATES))
    study = study.model_copy(update={"strategies": {**study.strategies, "fedavg": wider}})
    with pytest.raises(ConfigError, match="tries 3 learning rates on 'tumour' and 'centralized' 6") as caught:
        runs_of(study, {"tumour": {}})
    assert caught.value.key == "strategies.fedavg.training.learning_rates"
    as_many = wider.model_copy(update={"tasks": ()})
    runs_of(study.model_copy(update={"strategies": {**study.strategies, "fedavg": as_many}}), {"tumour": {}})


def test_the_share_of_the_search_is_of_all_bytes(tmp_path):
    spec = evaluation(tmp_path)
    costs = {"coordinator": {"bytes_up": 300.0, "bytes_down": 100.0, "search_bytes": 100.0, "trials": 2.0}}
    for run in spec.runs.values():
        path = tmp_path / "results" / "runs" / run.task / run.strategy / str(run.seed) / "costs.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(costs))
    rows = cost_rows(spec, read_costs(spec, tmp_path / "results"))
    found = {row["measure"]: (row["value"], row["unit"]) for row in rows}
    assert found["search_share"] == (0.25, "share")
    assert found["trials"] == (2.0, "trials")
