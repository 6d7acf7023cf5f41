"""Runs whose coordinator learns the sum of the sites' tensors alone."""

import numpy as np
import pytest
import torch
from federation import Killed, a_run, federate

from coordinator.algorithms import federated, secure_averaging
from coordinator.algorithms.party import Party
from coordinator.config import Model
from coordinator.errors import DataError, ProtocolError
from coordinator.privacy.fixed_point import decode, encode, laid_flat
from coordinator.privacy.secure_sum import Summand
from coordinator.protocol.messages import SumKeys, SumMasked, SumShares, SumThere, Weights
from coordinator.schedule import LocalRound

SIZES = (50, 40, 17, 3)
PRESETS = {
    "fedavg": {}, "fedadam": {}, "fedbn": {}, "fedprox": {"participation": 0.75},
    "splitfed_v1": {}, "splitfed_v2": {"participation": 0.75},
}  # fmt: skip


def sent_by(outcomes, site, kind):
    return [message for message in outcomes[site][2] if isinstance(message, kind)]


def tensors_of(found):
    party, outcomes, _ = found
    parts = {**party.parts, **outcomes["site0"][0].parts}
    return [value for part in parts.values() for value in part.state_dict().values()]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_model_is_the_plain_average_s_to_a_rounding(preset):
    run = a_run(preset, SIZES, secure_aggregation=True, **PRESETS[preset])
    secure = federate(run, SIZES)
    plain = federate(run.model_copy(update={"secure_aggregation": False}), SIZES)
    for mine, theirs in zip(tensors_of(secure), tensors_of(plain), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    for site in run.sites:
        assert not sent_by(secure[1], site, Weights)
        assert sent_by(secure[1], site, SumMasked)
    counted = secure[2].lines.counted()
    assert {"up.training.summasked", "up.training.sumshares", "down.training.sumthere"} <= set(counted)


def test_the_first_average_is_the_plain_fixed_point_sum_to_the_bit(monkeypatch):
    run, heard = a_run("fedavg", SIZES, secure_aggregation=True), []

    def hear(*given):
        heard.append(secure_averaging.hear_sum(*given))
        return heard[-1]

    monkeypatch.setattr(federated, "hear_sum", hear)
    federate(run, SIZES)
    _, plain, _ = federate(run.model_copy(update={"secure_aggregation": False}), SIZES)
    first = [sent_by(plain, site, Weights)[0] for site in run.sites]
    rows = [
        encode(np.append(n * laid_flat(each.tensors), n), 4) for n, each in zip(SIZES, first, strict=True)
    ]
    summed = decode(sum(rows, np.zeros_like(rows[0])))
    expected = (summed[:-1] / summed[-1]).astype(np.float32)
    assert np.array_equal(laid_flat([each.numpy() for each in heard[0]]).astype(np.float32), expected)


def test_a_site_reveals_nothing_for_a_sum_over_fewer():
    run = a_run("fedavg", SIZES, secure_aggregation=True)
    party = Party(run, None, index=0)
    party.sealer = Passing()
    item = LocalRound(0, 0, (0, 1, 2, 3))
    others = {site: Summand(site, item.sites) for site in (1, 2, 3)}
    channel = Lying(others)
    with pytest.raises(ProtocolError, match="who was left out; nothing was revealed"):
        secure_averaging.give_summand(party, item, [torch.ones(3)], 5.0, channel)
    assert [type(message) for message in channel.sent] == [SumKeys, SumShares, SumMasked]


class Passing:
    """Seals nothing."""

    def seal(self, purpose, content):
        return content

    def open(self, purpose, content):
        return content


class Lying:
    """A coordinator that passes everything on and says that the last site is gone."""

    def __init__(self, others):
        self.others, self.sent = others, []

    def send(self, message):
        self.sent.append(message)

    def receive(self, kind, position):
        mine = self.sent[0].keys[0].tobytes()
        keys = {0: mine, **{site: each.public for site, each in self.others.items()}}
        if kind is SumKeys:
            return SumKeys(position, tuple(map(secure_averaging.bytes_of, keys.values())))
        if kind is SumShares:
            boxes = [each.boxes(keys)[0] for each in self.others.values()]
            return SumShares(position, tuple(map(secure_averaging.bytes_of, boxes)))
        return SumThere(position, (0, 1, 2))


def test_masks_are_fresh_each_round_and_each_run():
    run = a_run("fedavg", SIZES, secure_aggregation=True, training={"rounds": 2, "learning_rates": (1e-12,)})
    one, other = (federate(run, SIZES)[1] for _ in range(2))
    words = [message.words for found in (one, other) for message in sent_by(found, "site0", SumMasked)]
    assert len(words) == 4
    for place, mine in enumerate(words):
        for theirs in words[place + 1 :]:
            assert not (mine == theirs).any()
    assert all(len(message.boxes) == 3 for message in sent_by(one, "site0", SumShares))


def test_a_run_that_goes_on_from_a_commit_ends_as_an_undisturbed_one(tmp_path):
    run = a_run("fedavg", SIZES, secure_aggregation=True, training={"rounds": 3})
    undisturbed = federate(run, SIZES)
    left = [5]

    def watch(item, party):
        left[0] -= 1
        if not left[0]:
            raise Killed

    with pytest.raises(Killed):
        federate(run, SIZES, commits=tmp_path, watch=watch)
    again = federate(run, SIZES, commits=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(undisturbed), tensors_of(again), strict=True))


def test_bytes_stay_within_what_the_source_says_for_a_model_of_some_size():
    big = Model(name="mlp", hidden=(200, 100))
    run = a_run("fedavg", SIZES, model=big, secure_aggregation=True)
    secure = federate(run, SIZES)[2].lines.counted()
    plain = federate(run.model_copy(update={"secure_aggregation": False}), SIZES)[2].lines.counted()
    up = [sum(v for k, v in counted.items() if k.startswith("up.training")) for counted in (secure, plain)]
    assert 1.9 < up[0] / up[1] < 2.2  # words of eight bytes for numbers of four, and the shares


def test_a_model_that_diverged_is_not_added_up():
    with pytest.raises(DataError, match="no number"):
        encode(np.array([np.inf]), 3)
