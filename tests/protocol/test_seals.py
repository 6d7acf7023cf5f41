"""Parts handed on, sealed: only the taker reads them, only for what they were meant."""

import json

import pytest
from federation import a_run, federate
from nacl.public import Box, PrivateKey, PublicKey
from safetensors.torch import save

from coordinator.errors import ProtocolError
from coordinator.protocol.keys import Identity, Secret
from coordinator.protocol.messages import Sealed
from coordinator.protocol.seals import Purpose, Sealer

CONTENT = b"parameters" * 50
PURPOSE = Purpose("spec", (0, 1, 0, -3), "east", "west")


def sealers(*names):
    """Make fresh keys, and everyone's sealer."""
    keys = {name: (PrivateKey.generate(), PrivateKey.generate()) for name in names}
    manifest = {n: Identity(bytes(c.public_key), bytes(s.public_key)) for n, (c, s) in keys.items()}
    return {name: Sealer(Secret(*map(bytes, pair)), manifest) for name, pair in keys.items()}


@pytest.fixture
def parties():
    return sealers("east", "west", "north")


def test_the_taker_opens_what_the_giver_sealed(parties):
    box = parties["east"].seal(PURPOSE, CONTENT)
    assert CONTENT not in box
    assert parties["west"].open(PURPOSE, box) == CONTENT


def test_the_same_parts_sealed_twice_differ(parties):
    assert parties["east"].seal(PURPOSE, CONTENT) != parties["east"].seal(PURPOSE, CONTENT)


@pytest.mark.parametrize(
    "other",
    [
        Purpose("other", PURPOSE.position, "east", "west"),
        Purpose("spec", (0, 2, 0, -3), "east", "west"),
        Purpose("spec", (1, 1, 0, -3), "east", "west"),
    ],
    ids=["spec", "round", "trial"],
)
def test_a_box_replayed_elsewhere_is_refused(parties, other):
    box = parties["east"].seal(other, CONTENT)
    assert parties["west"].open(other, box) == CONTENT
    with pytest.raises(ProtocolError, match="parts from 'east' were sealed for"):
        parties["west"].open(PURPOSE, box)


def test_a_box_sent_back_to_its_giver_is_refused(parties):
    """A box's key is the same both ways: only the purpose tells giver from taker."""
    back = Purpose("spec", PURPOSE.position, "west", "east")
    with pytest.raises(ProtocolError, match="were sealed for"):
        parties["east"].open(back, parties["east"].seal(PURPOSE, CONTENT))


def test_another_site_neither_opens_nor_forges(parties):
    box = parties["east"].seal(PURPOSE, CONTENT)
    with pytest.raises(ProtocolError, match="'east' were not sealed by it"):
        parties["north"].open(PURPOSE, box)
    with pytest.raises(ProtocolError, match="'east' were not sealed by it"):
        parties["west"].open(PURPOSE, parties["north"].seal(PURPOSE, CONTENT))


def test_a_coordinator_that_swaps_a_key_is_found_out(parties):
    """The giver was shown the coordinator's key as west's: the real west, asked in east's name, refuses."""
    middle = PrivateKey.generate()
    swapped = {**parties["east"].manifest, "west": Identity(bytes(32), bytes(middle.public_key))}
    box = Sealer(parties["east"].secret, swapped).seal(PURPOSE, CONTENT)
    with pytest.raises(ProtocolError, match="not sealed by it"):
        parties["west"].open(PURPOSE, box)
    west = PublicKey(parties["east"].manifest["west"].seal)
    resealed = bytes(Box(middle, west).encrypt(CONTENT))
    with pytest.raises(ProtocolError, match="not sealed by it"):
        parties["west"].open(PURPOSE, resealed)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 25, 39, 40, 41, -1])
def test_a_truncated_box_is_refused(parties, length):
    with pytest.raises(ProtocolError):
        parties["west"].open(PURPOSE, parties["east"].seal(PURPOSE, CONTENT)[:length])


@pytest.mark.parametrize("place", [0, 23, 24, 40, 100, -1])
def test_a_changed_byte_is_noticed(parties, place):
    box = bytearray(parties["east"].seal(PURPOSE, CONTENT))
    box[place] ^= 1
    with pytest.raises(ProtocolError):
        parties["west"].open(PURPOSE, bytes(box))


@pytest.mark.parametrize(
    "plain",
    [b"", b"\xff\xff\xff\xff{}", b"\x00\x00\x00\x03{]}", b"\x00\x00\x00\x02\xff\xfe", b"\x00\x00\x00\x02[]x"],
)
def test_an_admitted_site_that_seals_nonsense_is_refused(parties, plain):
    east = parties["east"]
    box = bytes(Box(PrivateKey(east.secret.seal), PublicKey(east.manifest["west"].seal)).encrypt(plain))
    with pytest.raises(ProtocolError, match="'east'"):
        parties["west"].open(PURPOSE, box)


# what the coordinator relays


@pytest.mark.parametrize(
    ("preset", "cut", "part"), [("split", ("layer1",), "front"), ("split_u", ("layer1", "layer2"), "head")]
)
def test_the_relayed_boxes_hold_no_parameter_in_clear(preset, cut, part):
    sizes = (40, 20, 9)
    run = a_run(preset, sizes, cut=cut)
    _, outcomes, _ = federate(run, sizes)
    boxes = [m.box.tobytes() for *_, sent, _ in outcomes.values() for m in sent if isinstance(m, Sealed)]
    assert len(boxes) == (2 + 1 + 1) + (2 + 2)  # the ring, and to those who only validate; no ring at the end
    secrets = []
    for party, *_ in outcomes.values():
        assert part in party.parts
        tensors = {**party.best[part], **party.parts[part].state_dict()}
        secrets += [value.numpy().tobytes()[:16] for value in tensors.values() if value.numel() >= 4]
        secrets.append(save(dict(party.parts[part].state_dict()))[8:40])  # a safetensors header's beginning
    assert len(secrets) >= 6
    assert not [True for box in boxes for secret in secrets if secret in box]


def test_what_was_looked_for_would_be_found_unsealed(monkeypatch):
    """The test above can fail: with sealing off, the parameters are there to be read."""
    monkeypatch.setattr(Sealer, "seal", lambda self, purpose, content: content)
    monkeypatch.setattr(Sealer, "open", lambda self, purpose, box: box)
    sizes = (40, 20)
    _, outcomes, _ = federate(a_run("split", sizes), sizes)
    (*_, last) = [m.box.tobytes() for *_, sent, _ in outcomes.values() for m in sent if isinstance(m, Sealed)]
    (state,) = [party.parts["front"].state_dict() for party, *_ in list(outcomes.values())[:1]]
    assert any(name.encode() in last for name in state)
    assert json.loads(last[8 : 8 + int.from_bytes(last[:8], "little")])
