"""A site that sends false updates or gradients: what it ruins, what holds, and what is told of it."""

import federation
import msgspec
import numpy as np
import pytest
import torch
from federation import a_run, federate

from coordinator.algorithms import norms, training
from coordinator.algorithms.robust import aggregated
from coordinator.algorithms.training import weighted_mean
from coordinator.config import Model, Norms, Strategy
from coordinator.errors import ConfigError
from coordinator.poison_rules import check_poison
from coordinator.protocol.messages import Activations, HeadGradient, Weights
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Validate
from coordinator.server.progress import history_rows
from coordinator.strategies import axes_of

SIZES = (40, 40, 40, 40, 40)
HOSTILE = 1
MODEL = Model(name="mlp", hidden=(16, 8))
TRAINING = {"optimizer": "sgd", "learning_rates": (0.5,), "rounds": 5, "local_epochs": 2}
ROBUST = ("median", "trimmed_mean")


def flipped(values):
    return -5 * values


def scaled(values):
    return 30 * values


def no_numbers(values):
    return values * np.float32(np.nan)


def changed(message, change):
    """Give the message with its tensors changed."""
    if isinstance(message, Weights):
        return msgspec.structs.replace(message, tensors=tuple(map(change, message.tensors)))
    return msgspec.structs.replace(message, tensor=change(message.tensor))


def poisoned(monkeypatch, change, kind=Weights):
    """Have one site's client change every message of a kind that it sends while it trains."""

    class Stub(SiteChannel):
        def send(self, message):
            trains = isinstance(message, kind) and (kind is Weights or message.position[3] >= 0)
            super().send(changed(message, change) if trains else message)

    def channel(link, **options):
        return (Stub if link._site == f"site{HOSTILE}" else SiteChannel)(link, **options)

    monkeypatch.setattr(federation, "SiteChannel", channel)


def trained(preset, sizes=SIZES, **changes):
    """Run a strategy; give the last round's validation loss, and the coordinator's party."""
    run = a_run(preset, sizes, model=MODEL, training=TRAINING, **changes)
    measured = []
    party, _, _ = federate(run, sizes, watch=lambda item, now: measured.append(rows_of(item, now)))
    last = party.rounds[-1]
    return sum(each.loss for each in last) / sum(each.records for each in last), party, measured[-1]


def rows_of(item, party):
    """Give what the history would say after this item."""
    if not isinstance(item, Validate):
        return []
    return history_rows(party.run, item, party, 0.0, {"bytes_up": 0, "bytes_down": 0})


def finite(party):
    return all(bool(value.isfinite().all()) for part in party.parts.values() for value in part.parameters())


# another average


@pytest.mark.parametrize(
    ("preset", "change"), [("fedavg", flipped), ("fedavg", scaled), ("splitfed_v1", flipped)]
)
def test_false_updates_ruin_the_mean_and_not_the_median_or_trimmed_mean(monkeypatch, preset, change):
    honest = trained(preset)[0]
    poisoned(monkeypatch, change)
    assert not trained(preset)[0] < honest + 0.1
    for aggregate in ROBUST:
        assert trained(preset, aggregate=aggregate)[0] < honest + 0.08


@pytest.mark.parametrize("aggregate", ROBUST)
def test_a_site_whose_numbers_are_none_spoils_no_other_average(monkeypatch, aggregate):
    poisoned(monkeypatch, no_numbers)
    assert not finite(trained("fedavg")[1])
    assert finite(trained("fedavg", aggregate=aggregate)[1])


def test_all_rules_that_take_another_average_differ_by_it():
    for preset in ("fedprox", "fedadam", "fedbn"):
        mean, median = trained(preset)[1], trained(preset, aggregate="median")[1]
        assert not torch.equal(*(next(each.parts["model"].parameters()) for each in (mean, median)))


def of(values, aggregate, weights=None, share=0.2):
    run = a_run("fedavg", SIZES, aggregate=aggregate, trimmed_share=share)
    models = [[torch.tensor([value])] for value in values]
    return float(aggregated(run, models, weights or [1.0] * len(values))[0])


def test_averages_by_hand():
    nan, inf = float("nan"), float("inf")
    assert of([3.0, 1.0, 100.0], "median") == 3
    assert of([4.0, 1.0, 2.0, 100.0], "median") == 3
    assert of([nan, 1.0, 2.0], "median") == 2
    assert of([inf, -inf, 5.0], "median") == 5
    assert of([1.0, 2.0, 6.0, -50.0, 1e30], "trimmed_mean") == 3
    assert of([nan, 2.0, 6.0, -50.0, 4.0], "trimmed_mean") == 4
    assert of([1.0, 2.0, 3.0, 4.0, 5.0], "trimmed_mean", share=0.4) == 3
    assert of([1.0, 2.0, 3.0, 4.0], "trimmed_mean", share=0.4) == 2.5  # never all of them
    assert of([1.0, 2.0, 9.0, 500.0], "median", weights=[7.0, 1.0, 1.0, 0.0]) == 2
    assert of([1.0, 2.0, 9.0], "mean", weights=[1.0, 0.0, 1.0]) == 5


def test_equal_models_are_their_own_average():
    torch.manual_seed(0)
    model = [torch.randn(7, 3), torch.randn(5)]
    for aggregate in ROBUST:
        found = aggregated(a_run("fedavg", SIZES, aggregate=aggregate), [model] * 5, [1.0] * 5)
        assert all(torch.equal(a, b) for a, b in zip(found, model, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weighted_mean([model] * 5, [1.0] * 5), model, strict=True))


# norms


def test_updates_are_measured_and_the_long_ones_told(monkeypatch):
    _, _, rows = trained("fedavg")
    honest = [row["update_norm"] for row in rows[1:]]
    assert all(norm > 0 for norm in honest)
    assert [row["outside"] for row in rows] == [0] * 6
    poisoned(monkeypatch, scaled)
    _, _, rows = trained("fedavg", norms=Norms(update=max(honest) * 4, action="drop"))
    assert [row["outside"] for row in rows] == [1, 0, 1, 0, 0, 0]
    assert rows[1 + HOSTILE]["update_norm"] > max(honest) * 4
    poisoned(monkeypatch, no_numbers)
    rows = trained("fedavg")[2]
    assert (rows[1 + HOSTILE]["outside"], rows[1 + HOSTILE]["update_norm"]) == (1, None)


def test_reporting_changes_nothing():
    loose, tight = trained("fedavg")[1], trained("fedavg", norms=Norms(update=1e-6, gradient=None))[1]
    assert all(
        torch.equal(a, b)
        for a, b in zip(loose.parts["model"].parameters(), tight.parts["model"].parameters(), strict=True)
    )


@pytest.mark.parametrize("preset", ["fedavg", "scaffold", "fednova", "splitfed_v1", "splitfed_v3"])
def test_a_dropped_update_counts_as_never_sent(monkeypatch, preset):
    if preset == "splitfed_v3":  # the coordinator's copies are what its activations make of them
        poisoned(monkeypatch, lambda t: 1e4 * t, Activations)
    else:
        poisoned(monkeypatch, no_numbers)
    bounded = Norms(update=20.0, action="drop")
    _, party, rows = trained(preset, norms=bounded)
    assert finite(party)
    assert rows[1 + HOSTILE]["outside"] >= 1
    assert sum(row["outside"] for row in rows[1:]) == rows[1 + HOSTILE]["outside"]


def test_where_every_update_is_dropped_the_model_stays():
    for preset in ("fedavg", "splitfed_v1"):
        party = trained(preset, norms=Norms(update=1e-9, action="drop"))[1]
        short = trained(preset, norms=Norms(update=1e-9, action="clip"))[1]
        for part, other in zip(party.parts.values(), short.parts.values(), strict=True):
            for a, b in zip(part.parameters(), other.parameters(), strict=True):
                assert float((a - b).detach().abs().max()) < 1e-7


def test_a_clipped_update_moves_the_mean_no_farther_than_its_norm(monkeypatch):
    poisoned(monkeypatch, scaled)
    honest = trained("fedavg", norms=Norms(update=3.0, action="clip"))[0]
    monkeypatch.undo()
    assert honest < trained("fedavg")[0] + 0.1


# gradients at the cut


def test_head_gradients_that_are_none_cost_only_the_site_s_own_steps(monkeypatch):
    cut = ("layer1", "layer2")
    poisoned(monkeypatch, no_numbers, HeadGradient)
    assert not finite(trained("split_private", cut=cut)[1])
    _, party, rows = trained("split_private", cut=cut, norms=Norms(action="drop"))
    assert finite(party)
    assert rows[1 + HOSTILE]["outside"] == 2 * 3  # every step of a round
    assert all(row["gradient_norm"] > 0 for row in rows[1:] if row["site"] != f"site{HOSTILE}")


@pytest.mark.parametrize("action", ["clip", "drop"])
def test_activations_far_off_move_the_back_no_farther_than_the_norm(monkeypatch, action):
    poisoned(monkeypatch, no_numbers, Activations)
    assert not finite(trained("multi_head")[1])
    poisoned(monkeypatch, lambda t: -1e3 * t, Activations)
    party = trained("multi_head", norms=Norms(gradient=0.5, action=action))[1]
    assert finite(party)


def test_gradients_of_a_joint_step_are_measured():
    rows = trained("split_parallel")[2]
    assert all(row["gradient_norm"] > 0 for row in rows[1:])


# what is refused


def refused(preset, sites=5, **settings):
    strategy = Strategy.model_validate({"preset": preset, **settings})
    axes = axes_of("label", strategy)
    check_poison("label", axes, strategy, tuple(f"s{i}" for i in range(sites)))


@pytest.mark.parametrize(
    ("preset", "settings", "problem"),
    [
        ("cyclic", {"aggregate": "median"}, "no such setting"),
        ("split", {"aggregate": "median"}, "nothing is"),
        ("multi_head", {"aggregate": "trimmed_mean"}, "nothing is"),
        ("scaffold", {"aggregate": "median"}, "not defined"),
        ("fednova", {"aggregate": "trimmed_mean"}, "not defined"),
        ("fedavg", {"aggregate": "median", "sites": 2}, "needs 3 sites"),
        ("fedavg", {"aggregate": "median", "participation": 0.4}, "needs 3 sites"),
        ("fedavg", {"aggregate": "trimmed_mean", "trimmed_share": 0.45, "sites": 4}, "leaves none"),
        ("fedavg", {"trimmed_share": 0.1}, "only a trimmed mean"),
        ("split", {"norms": {"update": 1}}, "no update"),
        ("fedavg", {"norms": {"gradient": 1}}, "only split learning"),
        ("local", {"norms": {"action": "drop"}}, "nothing comes"),
        ("scaffold", {"norms": {"update": 1, "action": "clip"}}, "norms.action: drop"),
        ("split_parallel", {"norms": {"gradient": 1, "action": "drop"}}, "joint step"),
    ],
)
def test_what_bounds_nothing_or_is_not_defined_is_refused(preset, settings, problem):
    sites = settings.pop("sites", 5) if "sites" in settings else 5
    with pytest.raises(ConfigError, match=problem):
        refused(preset, sites, **settings)


def test_what_is_defined_is_taken():
    refused("fedavg", aggregate="trimmed_mean", trimmed_share=0.4)
    refused("splitfed_v3", aggregate="median", norms={"update": 1, "gradient": 2, "action": "clip"})
    refused("split", norms={"gradient": 1, "action": "drop"})


def test_large_tensors_are_averaged_piece_by_piece_to_the_same_bit(monkeypatch):
    models = [
        [torch.randn(7, 5, generator=torch.Generator().manual_seed(n)), torch.tensor(n)] for n in (1, 2)
    ]
    models = [[each.float() for each in model] for model in models]
    whole = weighted_mean(models, [1.0, 3.0])
    monkeypatch.setattr(training, "BLOCK", 4)
    pieces = weighted_mean(models, [1.0, 3.0])
    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))
    assert torch.equal(whole[1], torch.tensor(1.75))
    assert norms._distance(*models) == pytest.approx(
        float(torch.cat([(a - b).double().reshape(-1) for a, b in zip(*models, strict=True)]).norm())
    )
