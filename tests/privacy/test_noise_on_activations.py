"""Runs whose activations are clipped and under noise."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from federation import Killed, a_run, federate

from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import outgoing
from coordinator.config import Budget, Noise, Privacy
from coordinator.errors import ConfigError
from coordinator.privacy.accounting import noise_cost
from coordinator.privacy.releasing import clipped
from coordinator.protocol.messages import Activations, HeadGradient
from sites.protecting import check_first_round, guard_for, summary

SIZES = (40, 20)
WIDE = Budget(epsilon=1000)
NOISE = Privacy(noise=Noise(clip=1.0, scale=2.0))
U_NOISE = Privacy(noise=Noise(clip=1.0, gradient_clip=0.5, scale=2.0))
PRESETS = {
    "split": NOISE, "multi_head": NOISE, "split_parallel": NOISE, "splitfed_v1": NOISE,
    "split_u": U_NOISE, "split_private": U_NOISE,
}  # fmt: skip


def run_of(preset, privacy, **changes):
    cut = ("layer1", "layer2") if preset in ("split_u", "split_private") else ("layer1",)
    return a_run(preset, SIZES, cut=cut, privacy=privacy, **changes)


def sent_by(outcomes, site, kind):
    return [message for message in outcomes[site][2] if isinstance(message, kind)]


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_sent_is_clipped_and_under_noise_and_every_release_is_in_the_account(tmp_path, preset):
    run = run_of(preset, PRESETS[preset])
    _, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    _, bare, _ = federate(run_of(preset, Privacy()), SIZES)
    visits = 2 if preset in ("split_u", "split_private") else 1
    for site in run.sites:
        first = sent_by(outcomes, site, Activations)[0].tensor
        clean = clipped(torch.from_numpy(sent_by(bare, site, Activations)[0].tensor), 1.0, 2.0)
        if site == run.sites[0]:  # its front is still the first one
            assert abs(float((torch.from_numpy(first) - clean).std()) / 2.0 - 1) < 0.15
        epsilon = summary(outcomes[site][0].guard, site)["epsilon"]
        once = noise_cost("gaussian", 2.0)
        assert epsilon == {
            "train": once.times(2 * visits).epsilon(1e-5),  # two rounds of one epoch
            "validation": once.times(2).epsilon(1e-5),
            "test": once.epsilon(1e-5),
        }


def test_noise_is_not_the_study_s_and_differs_from_site_to_site(tmp_path):
    run = run_of("split_u", U_NOISE)
    one, again = (federate(run, SIZES, guards=tmp_path / name)[1] for name in ("one", "another"))
    for kind in (Activations, HeadGradient):
        first, second = (sent_by(found, "site0", kind)[0].tensor for found in (one, again))
        assert not np.array_equal(first, second)
    assert (tmp_path / "one/site0/privacy.secret").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("preset", ["split", "split_u"])
def test_a_run_that_goes_on_from_a_commit_repeats_its_noise_and_pays_for_it_once(tmp_path, preset):
    run = run_of(preset, PRESETS[preset], commit_steps=2)
    undisturbed, sites, _ = federate(run, SIZES, guards=tmp_path)
    for site in run.sites:
        (tmp_path / "again" / site).mkdir(parents=True)
        secret = (tmp_path / site / "privacy.secret").read_bytes()
        (tmp_path / "again" / site / "privacy.secret").write_bytes(secret)
    left = [6]

    def watch(item, party):
        left[0] -= 1
        if not left[0]:
            raise Killed

    with pytest.raises(Killed):
        federate(run, SIZES, commits=tmp_path / "commits", watch=watch, guards=tmp_path / "again")
    found, again, _ = federate(run, SIZES, commits=tmp_path / "commits", guards=tmp_path / "again")
    assert found.best_loss == undisturbed.best_loss
    for site in run.sites:
        assert torch.equal(again[site][1][0], sites[site][1][0])
        accounts = [outcome[site][0].guard.account for outcome in (sites, again)]
        assert accounts[0].epsilons() == accounts[1].epsilons()


def test_training_stops_at_every_party_before_an_account_is_overdrawn(tmp_path):
    once = noise_cost("gaussian", 2.0)
    budget = Budget(epsilon=once.times(3).epsilon(1e-5))
    privacy = NOISE.model_copy(update={"budget": budget})
    run = run_of("split", privacy, training={"rounds": 7})
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    assert len(party.rounds) == 3
    assert party.ended
    for site in run.sites:
        account = outcomes[site][0].guard.account
        assert account.epsilons()["train"] == pytest.approx(budget.epsilon)
        assert outcomes[site][0].ended
        assert not torch.isnan(outcomes[site][1][0]).any()


def test_all_stop_where_one_site_s_patients_have_told_enough(tmp_path):
    budget = Budget(epsilon=noise_cost("gaussian", 2.0).times(5).epsilon(1e-5))
    privacy = NOISE.model_copy(update={"budget": budget})
    run = run_of("split", privacy, training={"rounds": 4, "epochs_by_site": {"site1": 2}})
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    assert len(party.rounds) == 2  # a third would be the sixth epoch of site1
    assert outcomes["site0"][0].ended


def test_a_grid_ends_with_the_budget_too(tmp_path):
    budget = Budget(epsilon=noise_cost("gaussian", 2.0).times(3).epsilon(1e-5))
    privacy = NOISE.model_copy(update={"budget": budget})
    run = run_of("split", privacy, training={"rounds": 2, "learning_rates": (0.1, 0.01, 0.001)})
    party, _, _ = federate(run, SIZES, guards=tmp_path)
    assert len(party.rounds) == 3


def test_without_a_scale_each_site_takes_the_noise_that_its_planned_run_needs(tmp_path):
    privacy = Privacy(noise=Noise(clip=1.0), budget=Budget(epsilon=10))
    run = run_of("split", privacy, training={"rounds": 20})
    guard = guard_for(run, 0, {"train": np.arange(30)}, tmp_path / "one")
    assert guard.scale == pytest.approx(5.08, abs=0.01)
    twice = guard_for(run, 0, {"train": np.arange(30) // 2}, tmp_path / "two")
    assert twice.scale == pytest.approx(5.08 * 2**0.5, abs=0.01)
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    assert len(party.rounds) == 20
    assert outcomes["site0"][0].guard.account.epsilons()["train"] == pytest.approx(10)


def test_a_run_of_which_no_round_is_affordable_does_not_begin(tmp_path):
    privacy = NOISE.model_copy(update={"budget": Budget(epsilon=0.1)})
    guard = guard_for(run_of("split", privacy), 0, {"train": np.arange(3)}, tmp_path)
    with pytest.raises(ConfigError, match="does not bear one round"):
        check_first_round(guard, "site0")


def test_a_party_that_was_given_no_guard_releases_nothing():
    party = Party(run_of("split", NOISE), None)
    with pytest.raises(ConfigError, match="was not given its guard"):
        outgoing(party, torch.zeros(1, 1), (0, 0, 0, 0), "train", np.arange(1))


def test_records_are_called_apart_where_groups_are_scored_one_after_the_other(tmp_path):
    guard = guard_for(run_of("split", NOISE), 0, {"test": np.arange(4)}, tmp_path)
    for first in (0, 2):
        part = replace(guard, first=first)
        part.activations(torch.full((2, 3), float(first)), (-1, -1, 0, -1), "test", np.arange(2))
    lines = [json.loads(line) for line in (tmp_path / "account.jsonl").read_text().splitlines()]
    assert [line["records"] for line in lines] == [[0, 1], [2, 3]]
