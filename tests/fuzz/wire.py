"""What the fuzzer feeds: bytes cut into frames, through codec and line, to the checks of what was said."""

import struct

import msgspec
import numpy as np
import torch

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party, said
from coordinator.algorithms.tensors import one, received
from coordinator.config import Model, Training
from coordinator.errors import ProtocolError
from coordinator.presets import PRESETS
from coordinator.protocol import messages
from coordinator.protocol.assembly import hello_in
from coordinator.protocol.codec import CHUNK_BYTES
from coordinator.protocol.line import Line, expected
from coordinator.protocol.messages import (
    Activations,
    CutGradient,
    Done,
    Gradients,
    Message,
    Validated,
    Weights,
)
from coordinator.server.done import check_done
from coordinator.specs import Run
from sites.incoming import check_incoming
from tests.protocol.messages_drawn import framed

LIMIT = 1 << 20  # bytes of a message's arrays
PLACE = (0, 1, 1, 2)
SHAPES = ((4, 3), (4,))
PARTY = Party(
    Run(
        study="s", task="t", strategy="fedavg", seed=0, sites=("east", "west"), parties=("east", "west"),
        prepared={}, preset="fedavg", **PRESETS["fedavg"], site_weights="records", cut=(),
        model=Model(name="mlp"), training=Training(), validation=0.1, missing="impute", release="nothing",
        threads=1,
    ),
    Cohort((6,), (10, 10), (5, 5), (5, 5), (4, 4)),
)  # fmt: skip


def frames_in(content: bytes) -> list[list[bytes]]:
    """Cut an input into messages of one frame or more: how many frames, each frame's length, its bytes."""
    found, start = [], 0
    while start < len(content):
        count, start = content[start] % 4, start + 1
        frames = []
        for _ in range(count):
            (length,) = struct.unpack_from("<H", content.ljust(start + 2, b"\0"), start)
            frames.append(content[start + 2 : start + 2 + length])
            start += 2 + length
        if frames:
            found.append(frames)
    return found


def joined(messages_: list[list[bytes]]) -> bytes:
    """Write frames as `frames_in` reads them."""
    return b"".join(
        bytes([len(frames)]) + b"".join(struct.pack("<H", len(frame)) + frame for frame in frames)
        for frames in messages_
    )


def corpus() -> list[bytes]:
    """Give one message of every kind to begin with, two in a row, and one in chunks."""
    small = [message for kind in Message.__subclasses__() for message in [sample(kind)]]
    inputs = [joined(framed(message)) for message in small]
    inputs.append(joined([*framed(small[0], 1), *framed(small[-1], 2)]))
    first, *_ = framed(CutGradient(PLACE, np.zeros(CHUNK_BYTES // 4 + 9, np.float32)))
    return [*inputs, joined([[first[0], first[1][:60_000]]])]


def sample(kind: type[Message]) -> Message:
    """Make some message of a kind."""
    x, y = np.ones(SHAPES[0], np.float32), np.ones(SHAPES[1], np.float32)
    values = {
        "position": PLACE, "tensor": x, "labels": y, "site": "east", "spec": "s", "last_seen": 0,
        "hashes": {"model": "0" * 64}, "costs": {"seconds": 1.0}, "names": ("a",), "counts": {"train": 3},
        "n": y, "mean": y, "m2": y, "missing": y, "limits": x, "histogram": x, "levels": {"a": ("b",)},
        "suppressed": 0, "shapes": {"table": (6,)}, "giver": "east", "taker": "west",
        "box": np.zeros(9, np.uint8), "tensors": (x, y), "records": 1, "train_loss": 0.0, "train_records": 1,
        "loss": 0.0, "best": True, "stop": False, "values": y, "commits": {1: "h"}, "number": 1,
        "hash": "0" * 64, "ledger": "0" * 64, "reason": "because", "statistics": "{}", "commit": -1,
        "head": "0" * 64, "signature": "0" * 128, "session": 7, "away": ((0, 1, (1,)),), "best_at": (0, 1),
        "stopped": -1, "end": False, "goes_on": True, "keys": (np.zeros(32, np.uint8),), "sites": (0, 1),
        "boxes": (np.zeros(9, np.uint8),), "words": np.zeros(7, np.int64), "shares": (np.zeros(9, np.uint8),),
        "patients": 3, "events": 1, "areas": y, "covariance": x, "groups": y, "same": y, "means": y,
        "reasons": {"auroc": "one class"}, "metrics": ("auroc",), "ranked": 0.5, "pairs": 2,
    }  # fmt: skip
    of_kind = {"Welcome": {"records": (10, 10)}, "Validated": {"records": 5}}.get(kind.__name__, {})
    return kind(**{field: {**values, **of_kind}[field] for field in kind.__struct_fields__})


def hear(content: bytes) -> None:
    """Hear an input as the coordinator and as a site would; only a ProtocolError may come of it."""
    line = Line("east", sends="down", limit=LIMIT, ahead=2 * LIMIT)
    try:
        for frames in frames_in(content):
            hello_in(list(frames))
            if line.accept(list(frames)) is not None:
                check(line.hear())
    except ProtocolError:
        pass


def check(message: Message) -> None:
    """Hold a message against what a conversation allows, as the algorithms do."""
    check_incoming(message, 1.0)
    match message:
        case Validated():
            said(PARTY, msgspec.structs.replace(message, position=PLACE), "east")
        case Done():
            check_done("east", message, ("model",))
        case Weights() | Gradients():
            received(message.tensors, SHAPES, "east")
        case Activations():
            one(message.tensor, SHAPES[0], "east")
            one(message.labels, SHAPES[1], "east")
    expected(message, messages.CutGradient, "east", PLACE)


torch.set_num_threads(1)
