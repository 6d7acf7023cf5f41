"""What comes down to a site: a policy refuses long gradients and what is no number."""

import numpy as np
import pytest
from federation import LIMIT, a_run

from coordinator.config import Policy
from coordinator.errors import ProtocolError
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.inproc import Hub
from coordinator.protocol.messages import CutGradient, Features, Gradients, Verdict, Weights
from sites.gate import open_channel

PLACE = (0, 0, 0, 0)
SHORT, LONG = np.full((3, 3), 0.1, np.float32), np.full((3, 3), 10.0, np.float32)
NAN, INFINITE = SHORT * np.float32("nan"), SHORT * np.float32("inf")


def told(tmp_path, message, largest):
    """Have a site under a policy hear a message."""
    hub = Hub()
    policy = Policy(releases=("activations", "weights"), largest_gradient=largest)
    site, _ = open_channel(
        a_run("split", (3,)), hub.spoke("a"), tmp_path / "ledger.jsonl", limit=LIMIT, policy=policy
    )
    coordinator = CoordinatorChannel(hub, ["a"], spec="s", limit=LIMIT)
    coordinator._presence.routes["a"] = b"a"
    coordinator.send("a", message)
    return site.receive(type(message), message.position)


@pytest.mark.parametrize(
    "message",
    [
        CutGradient(PLACE, SHORT),
        Gradients(PLACE, (SHORT, SHORT)),
        Weights(PLACE, (LONG,), 1),  # a model may be as long as it likes
        Features(PLACE, LONG),
        Verdict(PLACE, True),
    ],
)
def test_what_a_policy_takes_comes_in(tmp_path, message):
    assert told(tmp_path, message, 1.0) is not None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (CutGradient(PLACE, LONG), r"CutGradient at \(0, 0, 0, 0\), of length 30; .* up to 1 "),
        (Gradients(PLACE, (SHORT, LONG)), "of length"),
        (CutGradient(PLACE, NAN), "not finite"),
        (Features(PLACE, INFINITE), "not finite"),
        (Weights(PLACE, (SHORT, NAN), 1), "not finite"),
    ],
)
def test_what_a_policy_does_not_take_ends_the_site_s_part(tmp_path, message, reason):
    with pytest.raises(ProtocolError, match=reason):
        told(tmp_path, message, 1.0)


def test_without_the_key_anything_comes_in(tmp_path):
    assert told(tmp_path, CutGradient(PLACE, NAN), None) is not None
