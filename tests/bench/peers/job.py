"""The job that every platform does: the same network, records, rounds and sites; needs numpy and torch alone.

It is copied into the peers' own apps, so it imports nothing of Suture.
"""

import torch
from torch.nn import Linear, ReLU, Sequential
from torch.nn.functional import binary_cross_entropy_with_logits as loss

SITES, ROUNDS, RECORDS = 4, 3, 1024
FEATURES, HIDDEN, BATCH, RATE = 64, (512, 400), 32, 1e-3  # 0.96 MB of weights

# the split step of split_step_mlp: 32 KiB of activations up and as many of their gradient down
STEP_BATCH, STEP_CUT, STEP_HIDDEN = 64, 128, 64
EXCHANGED = 65536  # bytes each way of an exchange without arithmetic


class Network(Sequential):
    """The network that is averaged: (records, features) to (records, 1)."""

    def __init__(self) -> None:
        first, second = HIDDEN
        super().__init__(
            Linear(FEATURES, first), ReLU(), Linear(first, second), ReLU(), Linear(second, 1)
        )  # fmt: skip


def records(site: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a site's records: inputs (records, features) and outcomes (records,)."""
    generator = torch.Generator().manual_seed(site)
    inputs = torch.randn(RECORDS, FEATURES, generator=generator)
    return inputs, (inputs[:, 0] + torch.randn(RECORDS, generator=generator) > 0).float()


def train(model: torch.nn.Module, site: int) -> None:
    """Do a site's part of a round: one epoch of Adam."""
    torch.set_num_threads(1)
    inputs, labels = records(site)
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    for batch in torch.randperm(RECORDS).split(BATCH):
        optimizer.zero_grad()
        loss(model(inputs[batch])[:, 0], labels[batch]).backward()
        optimizer.step()


def front() -> Sequential:
    """Give a site's layers of the split step."""
    return Sequential(Linear(FEATURES, STEP_CUT), ReLU())


def back() -> Sequential:
    """Give the coordinator's layers of the split step."""
    return Sequential(Linear(STEP_CUT, STEP_HIDDEN), ReLU(), Linear(STEP_HIDDEN, 1))
