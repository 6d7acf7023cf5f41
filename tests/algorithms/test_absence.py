"""A run that goes on without sites ends as one that is told who was away, undisturbed: to the bit."""

import json

import numpy as np
import pytest
import torch
from federation import Killed, a_run, federate
from test_exactness import SIZES

from coordinator.algorithms import split
from coordinator.attendance import participation_rows, with_recorded
from coordinator.commits import Commits
from coordinator.config import OnLoss
from coordinator.presets import PRESETS
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Committed, Kept
from coordinator.schedule import Batch, HandOn
from coordinator.walking import CatchUp, changed, walked

GOES_ON = OnLoss(policy="continue", minutes=1, at_least=1)
# moments, a grid, dropout, and commits within a round
TRAINING = {"rounds": 3, "learning_rates": (0.01, 0.05), "optimizer": "adam"}
ALSO = {
    "split, batch by batch": ("split", {"turn": "batch"}),
    "split, sites drawn": ("split", {"participation": 0.5}),
    "fedavg, state kept": ("fedavg", {"optimizer_state": "kept"}),
    "splitfed_v1, state kept": ("splitfed_v1", {"optimizer_state": "kept"}),
    "fedavg, sites drawn": ("fedavg", {"participation": 0.5}),
}
ALONE = ("centralized", "local")
CASES = {**{preset: (preset, {}) for preset in PRESETS if preset not in ALONE}, **ALSO}


def killed_in(trial, round_, items):
    """Make a watch that kills after so many items of a round."""
    left = [items]

    def watch(item, party):
        if (item.trial, getattr(item, "round", -1)) >= (trial, round_):
            left[0] -= 1
            if not left[0]:
                raise Killed

    return watch


def case(name):
    preset, changes = CASES[name]
    if PRESETS[preset].get("labels") == "private":
        changes = {**changes, "cut": ("layer1", "layer2")}
    plain = preset in ("scaffold", "fednova")
    training = {**TRAINING, **({"optimizer": "sgd"} if plain else {})}
    return a_run(preset, SIZES, training=training, on_loss=GOES_ON, commit_steps=3, **changes)


def outcome(found):
    """Give all that two runs must have alike."""
    coordinator, outcomes, _ = found
    parts = {f"coordinator/{n}": p.state_dict() for n, p in coordinator.parts.items()}
    logits = {}
    for name, (party, scores, _, _) in outcomes.items():
        if party.index in party.gone:
            continue
        parts |= {f"{name}/{part}": each.state_dict() for part, each in party.parts.items()}
        logits |= {f"{name}/{i}": each for i, each in enumerate(scores)}
    tensors = {f"{part}/{key}": value for part, state in parts.items() for key, value in state.items()}
    return {**tensors, **logits}, (coordinator.best_at, coordinator.best_loss, coordinator.rounds)


def assert_same(one, other):
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    for name, value in one[0].items():
        torch.testing.assert_close(value, other[0][name], rtol=0, atol=0, equal_nan=True, msg=name)


def live(run, folder, *lives):
    """Let a run live several times, without who is absent; all are killed in a round, but in the last."""
    for life, (absent, at) in enumerate(lives[:-1]):
        within = 5 if life == 0 and run.algorithm in ("split", "cyclic") else 1
        with pytest.raises(Killed):
            federate(run, SIZES, commits=folder, watch=killed_in(*at, within), absent=absent)
    return federate(run, SIZES, commits=folder, absent=lives[-1][0])


def recorded(run, found, path):
    """Write a run's participation, and give the run that repeats it."""
    coordinator, _, _ = found
    rounds, trials = run.training.rounds, len(run.training.learning_rates)
    walked = [(trial, round_) for trial in range(trials) for round_ in range(rounds)]
    rows = participation_rows(run, walked, SIZES, coordinator.away)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plain = run.model_copy(update={"on_loss": OnLoss(), "participation": 1.0})
    return with_recorded(plain, path), rows


# site0 is lost within a round, in its turn, and is back in the next but one; site1 misses a change of trials;
# site2 is away at the end
LIVES = (([], (0, 1)), (["site0"], (0, 2)), (["site1"], (1, 1)), (["site2"], None))


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_lost_sites_ends_as_its_undisturbed_replay(tmp_path, name):
    run = case(name)
    found = live(run, tmp_path / "live", *LIVES)
    assert [sites for _, _, sites in found[0].away] == [(0,), (1,), (2,)]
    replay, rows = recorded(run, found, tmp_path / "participation.jsonl")
    assert replay.away == found[0].away
    stale = [row["stale"] for row in rows if "stale" in row]
    assert stale == ([{"site0": 1}, {"site1": 2}] if run.site_parts == "private" else [])
    assert_same(outcome(federate(replay, SIZES)), outcome(found))
    alike = [party for party, *_ in found[1].values() if party.index not in party.gone]
    for party in alike if run.site_parts != "private" and run.rule != "fedbn" else []:
        for name, part in party.parts.items():
            first = alike[0].parts[name].state_dict()
            assert all(torch.equal(value, first[key]) for key, value in part.state_dict().items())


def test_a_replay_that_is_killed_goes_on_too(tmp_path):
    run = case("splitfed_v3")
    found = live(run, tmp_path / "live", *LIVES)
    replay, _ = recorded(run, found, tmp_path / "participation.jsonl")
    with pytest.raises(Killed):
        federate(replay, SIZES, commits=tmp_path / "again", watch=killed_in(0, 2, 1))
    assert_same(outcome(federate(replay, SIZES, commits=tmp_path / "again")), outcome(found))


def begins(run, trial, round_):
    """Give the item (trial, item of the trial) with which a round begins."""
    places = [each.at for each in walked(run, SIZES) if (at := each.item) and at.trial == trial
              and getattr(at, "round", -1) == round_]  # fmt: skip
    return places[0]


# as many rounds as it takes to tell, where a later trial learns nothing and so is never the best
RETURNS = {"in the next round": (0, 2), "in the next trial": (1, 1)}


KINDS = (
    "split", "split, batch by batch", "split_private", "cyclic", "splitfed_v1", "splitfed_v1, state kept",
    "splitfed_v2", "splitfed_v3", "fedavg", "fedavg, state kept", "scaffold", "fedbn",
)  # fmt: skip


@pytest.mark.parametrize("back", RETURNS)
@pytest.mark.parametrize("name", KINDS)
def test_missing_whole_rounds_is_not_being_chosen_for_them(name, back):
    """Who is not chosen is there and hears everything; who was away must be as if it had been."""
    run = case(name)
    rates = (0.1, 1e-9) if run.training.optimizer == "sgd" else (0.02, 1e-9)
    training = run.training.model_copy(update={"learning_rates": rates})
    plain = run.model_copy(update={"training": training, "on_loss": OnLoss(), "order": "fixed"})
    everyone, others = (0, 1, 2, 3), (0, 2, 3)
    last = everyone if RETURNS[back] == (0, 2) else others
    chosen = plain.model_copy(update={"recorded": (everyone, others, last)})
    gone = (*begins(run, 0, 1), (1,)), (*begins(run, *RETURNS[back]), ())
    one, other = federate(plain.model_copy(update={"away": gone}), SIZES), federate(chosen, SIZES)
    assert one[0].best_at == other[0].best_at == (0, 2)
    assert {party.kept_at for party, *_ in one[1].values()} == {(0, 2)}
    assert_same((outcome(one)[0], None), (outcome(other)[0], None))


@pytest.mark.parametrize("turn", ["client", "batch"])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_handed_on_is_never_lost(turn, seed):
    """Whoever has a batch has all that was learned so far, though sites leave after any commit."""
    run = a_run("split", SIZES, training={"rounds": 4}, on_loss=GOES_ON, commit_steps=2, turn=turn)
    draws, away = np.random.default_rng(seed), ()
    for each in walked(run, SIZES):
        if draws.random() < 0.3 and (each.place and commits_before(run, each.place)):
            away = changed(away, each.at, tuple(np.flatnonzero(draws.random(3) < 0.4).tolist()))
    learned, versions = 0, [0, 0, 0, 0]
    for each in walked(run, SIZES, away):
        versions = [0 if site in each.away else version for site, version in enumerate(versions)]
        for step in (*each.back, *each.steps):
            if isinstance(step, Batch):
                learned += 1
                assert versions[step.site] == learned - 1
                versions[step.site] = learned
            elif isinstance(step, HandOn | CatchUp) and step.giver >= 0:
                assert step.giver not in each.away
                for taker in step.takers:
                    versions[taker] = versions[step.giver]
    assert learned


def commits_before(run, place):
    """Say whether a commit stands before a place of the schedule."""
    return bool(next(each.commit for each in walked(run, SIZES) if each.place == place - 1))


def test_a_site_that_is_back_begins_its_round_with_a_fresh_optimizer():
    run = a_run("splitfed_v1", SIZES, on_loss=GOES_ON)
    _, outcomes, _ = federate(run, SIZES)
    party = outcomes["site0"][0]
    used = party.optimizers["front"]
    split.rehear(party, CatchUp(0, 0, 1, (0,)), None)
    assert party.optimizers["front"] is not used


def test_who_made_a_commit_hears_that_it_is_kept_and_nobody_else(monkeypatch, tmp_path):
    """Also where the disk has it only when somebody has left, or come back."""
    monkeypatch.setattr(Commits, "is_written", lambda self: False)  # told at the next one
    told = {name: [] for name in a_run("fedavg", SIZES).sites}
    say = CoordinatorChannel.send

    def send(self, site, message):
        if isinstance(message, Kept):
            told[site].append(message.number)
        say(self, site, message)

    monkeypatch.setattr(CoordinatorChannel, "send", send)
    run = a_run("fedavg", SIZES, training={"rounds": 8}, away=((0, 5, (1,)), (0, 9, (2,)), (0, 13, ())))
    _, outcomes, _ = federate(run, SIZES, commits=tmp_path)
    made = {
        name: [each.number for each in sent if isinstance(each, Committed)]
        for name, (_, _, sent, _) in outcomes.items()
    }
    last = max(made["site0"])  # which nobody waits for here
    assert told == {name: [n for n in numbers if n != last] for name, numbers in made.items()}
    assert len({tuple(numbers) for numbers in made.values()}) == 3
