"""FedAvg's average, computed again from what the sites really sent."""

import numpy as np
import pytest
from federation import a_run, federate

from coordinator.algorithms.training import floats
from coordinator.protocol.messages import Weights

SIZES = (100, 40, 17, 3)


def averaged(site_weights: str, weights: tuple[float, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Run one round; give the coordinator's model, and the average of what was sent by these weights."""
    run = a_run("fedavg", SIZES, training={"rounds": 1}).model_copy(update={"site_weights": site_weights})
    coordinator, outcomes, _ = federate(run, SIZES)
    sent = [next(m for m in outcomes[site][2] if isinstance(m, Weights)).tensors for site in run.sites]
    again = [
        np.average(np.stack(each).astype(np.float64), axis=0, weights=weights)
        for each in zip(*sent, strict=True)
    ]
    return [value.numpy() for value in floats(coordinator.parts["model"])], again


@pytest.mark.parametrize(
    ("site_weights", "weights", "others"),
    [("records", SIZES, (1, 1, 1, 1)), ("equal", (1, 1, 1, 1), SIZES)],
)
def test_sites_weigh_as_the_study_says(site_weights: str, weights: tuple, others: tuple) -> None:
    found, again = averaged(site_weights, weights)
    for mine, theirs in zip(found, again, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)
    _, wrong = averaged(site_weights, others)
    assert max(np.abs(mine - theirs).max() for mine, theirs in zip(found, wrong, strict=True)) > 1e-3


def test_every_site_ends_with_the_average() -> None:
    coordinator, outcomes, _ = federate(a_run("fedavg", SIZES), SIZES)
    for party, *_ in outcomes.values():
        for mine, theirs in zip(
            floats(party.parts["model"]), floats(coordinator.parts["model"]), strict=True
        ):
            assert mine.equal(theirs)
