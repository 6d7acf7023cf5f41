"""The floor: a split step by bare pyzmq and torch, encrypted; no check, no ledger. It stays as it is."""

import sys
import time

import torch
import zmq
from torch.nn import Linear, ReLU, Sequential
from torch.nn.functional import binary_cross_entropy_with_logits as loss

BATCH, FEATURES, CUT, HIDDEN, RATE = 64, 64, 128, 64, 1e-3


def coordinator():
    """Bind; give endpoint, server key, and steps(n), which does n steps and gives each one's seconds."""
    public, secret = zmq.curve_keypair()
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.curve_server, socket.curve_secretkey = True, secret
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    back = Sequential(Linear(CUT, HIDDEN), ReLU(), Linear(HIDDEN, 1))
    optimizer = torch.optim.Adam(back.parameters(), RATE, fused=True)

    def steps(count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            route, up, y = socket.recv_multipart()
            activations = (
                torch.frombuffer(bytearray(up), dtype=torch.float32).view(BATCH, CUT).requires_grad_()
            )
            loss(back(activations)[:, 0], torch.frombuffer(bytearray(y), dtype=torch.float32)).backward()
            socket.send_multipart([route, activations.grad.numpy()], copy=False)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - start)
        return seconds

    return f"tcp://127.0.0.1:{port}", public.decode(), steps


def site(endpoint, server_key):
    socket = zmq.Context().socket(zmq.DEALER)
    socket.curve_serverkey = server_key.encode()
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.connect(endpoint)
    front = Sequential(Linear(FEATURES, CUT), ReLU())
    optimizer = torch.optim.Adam(front.parameters(), RATE, fused=True)
    inputs, labels = torch.randn(4096, FEATURES), (torch.rand(4096) > 0.5).float()
    while True:
        rows = torch.randperm(4096)[:BATCH]
        activations = front(inputs[rows])
        socket.send_multipart([activations.detach().numpy(), labels[rows].numpy()], copy=False)
        activations.backward(torch.frombuffer(bytearray(socket.recv()), dtype=torch.float32).view(BATCH, CUT))
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    torch.set_num_threads(1)
    site(*sys.argv[1:])
