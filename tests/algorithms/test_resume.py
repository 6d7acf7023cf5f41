"""A run that goes on from its last commit ends with the weights of one that was not disturbed."""

import pytest
import torch
from federation import Killed, a_run, federate
from test_exactness import SIZES

from coordinator.presets import PRESETS
from coordinator.schedule import schedule

# every rule's memory, moments, a grid, a stop by patience, dropout, and a late best round
TRAINING = {"rounds": 3, "learning_rates": (0.01, 0.05), "optimizer": "adam", "patience": 2}
ALSO = {
    "split, in one long epoch": ("split", {"commit_steps": 2}),
    "split, batch by batch": ("split", {"turn": "batch", "commit_steps": 3}),
    "split, sites drawn": ("split", {"participation": 0.5, "commit_steps": 2}),
    "fedavg, state kept": ("fedavg", {"optimizer_state": "kept"}),
    "centralized, joint": ("centralized", {"batches": "joint"}),
}
CASES = {**{preset: (preset, {}) for preset in PRESETS}, **ALSO}


def after(items):
    """Make a watch that kills after so many items."""
    left = [items]

    def watch(item, party):
        left[0] -= 1
        if not left[0]:
            raise Killed

    return watch


def parts_of(found):
    coordinator, outcomes, _ = found
    sites = {name: (party, logits) for name, (party, logits, _, _) in outcomes.items()}
    return coordinator, sites


@pytest.mark.parametrize(("name", "share"), [*((name, 0.5) for name in CASES), ("split_u", 0.2)])
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path, name, share):
    preset, changes = CASES[name]
    if PRESETS[preset].get("labels") == "private":
        changes = {**changes, "cut": ("layer1", "layer2")}
    run = a_run(preset, SIZES, training=TRAINING, **changes)
    undisturbed, sites = parts_of(federate(run, SIZES))
    items = sum(1 for _ in schedule(run, SIZES))
    with pytest.raises(Killed):
        federate(run, SIZES, commits=tmp_path, watch=after(max(2, int(share * items))))
    begun = len(list((tmp_path / "coordinator").glob("0*")))
    seen = []
    found, again = parts_of(
        federate(run, SIZES, commits=tmp_path, watch=lambda item, party: seen.append(item))
    )
    if begun:
        assert len(seen) < items  # it did not begin anew
    assert (found.best_at, found.best_loss, found.steps) == (
        undisturbed.best_at, undisturbed.best_loss, undisturbed.steps,
    )  # fmt: skip
    assert found.rounds == undisturbed.rounds  # training losses too, of which a commit may hold a part
    assert_same_parts(found, undisturbed)
    for site, (party, logits) in again.items():
        assert_same_parts(party, sites[site][0])
        assert all(torch.equal(a, b) for a, b in zip(logits, sites[site][1], strict=True))


def assert_same_parts(found, expected):
    assert found.parts.keys() == expected.parts.keys()
    for name, part in expected.parts.items():
        state = found.parts[name].state_dict()
        assert all(torch.equal(value, state[key]) for key, value in part.state_dict().items())
