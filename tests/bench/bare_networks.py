"""The floor for any network: a split step by bare pyzmq and torch, encrypted or plain."""

import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
import zmq
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as loss

from coordinator.algorithms.building import builders_of
from coordinator.models.stages import build, cut
from coordinator.specs import Run
from tests.bench.forking import forked, join, write

Floats = tuple[int, ...]
PATIENCE_MS = 120_000  # the other process failed


def bare_step(run: Run, records: int, shape: Floats, *, curve: bool) -> float:
    """Give the median seconds of a bare step of a split run's network, one site with so many records."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        join(
            [
                forked(_coordinator, run, records, shape, folder, curve),
                forked(_site, run, records, shape, folder),
            ]
        )
        return float(json.loads((folder / "seconds").read_text()))


def _parts(run: Run, shape: Floats) -> tuple[nn.Sequential, ...]:
    builders = builders_of(run, shape)
    return tuple(
        nn.Sequential(*build(builders, 0, names).stages.values()) for names in cut(tuple(builders), run.cut)
    )


def _coordinator(run: Run, records: int, shape: Floats, folder: Path, curve: bool) -> None:
    front, back = _parts(run, shape)
    with torch.no_grad():
        crossing = front(torch.zeros(2, *shape)).shape[1:]
    optimizer = torch.optim.Adam(back.parameters(), 1e-3, fused=True)
    socket, public = zmq.Context().socket(zmq.ROUTER), b""
    if curve:
        public, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_server = True
    socket.rcvtimeo = PATIENCE_MS
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    write(folder / "endpoint", json.dumps([f"tcp://127.0.0.1:{port}", public.decode()]))
    ends = []
    for _ in range(records // run.training.batch_size):
        route, up, y = socket.recv_multipart()
        labels = _floats(y)
        activations = _floats(up).view(len(labels), *crossing).requires_grad_()
        loss(back(activations)[:, 0], labels).backward()
        socket.send_multipart([route, activations.grad.contiguous().numpy()], copy=False)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    gaps = [after - before for before, after in pairwise(ends)]
    write(folder / "seconds", str(statistics.median(gaps)))
    socket.close(linger=10_000)


def _site(run: Run, records: int, shape: Floats, folder: Path) -> None:
    front, _ = _parts(run, shape)
    optimizer, size = torch.optim.Adam(front.parameters(), 1e-3, fused=True), run.training.batch_size
    inputs, labels = torch.randn(records, *shape), (torch.rand(records) > 0.5).float()
    while not (folder / "endpoint").exists():
        time.sleep(0.01)
    endpoint, public = json.loads((folder / "endpoint").read_text())
    socket = zmq.Context().socket(zmq.DEALER)
    if public:
        socket.curve_serverkey = public.encode()
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.rcvtimeo = PATIENCE_MS
    socket.connect(endpoint)
    for rows in torch.randperm(records)[: records // size * size].split(size):
        activations = front(inputs[rows])
        crossing = activations.detach().contiguous().numpy()
        socket.send_multipart([crossing, labels[rows].numpy()], copy=False)
        activations.backward(_floats(socket.recv()).view_as(activations))
        optimizer.step()
        optimizer.zero_grad()


def _floats(received: bytes) -> Tensor:
    return torch.frombuffer(bytearray(received), dtype=torch.float32)
