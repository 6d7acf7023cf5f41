"""The optimizers are torch's, to the bit, without what torch's classes import."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.config import Training
from coordinator.errors import ProtocolError

ROOT = Path(__file__).resolve().parent.parent
TORCHS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
CASES = [
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.1},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
]
NAMES = {"first": "exp_avg", "second": "exp_avg_sq", "step": "step"}


def a_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(13, 7), nn.ReLU(), nn.Linear(7, 1))


def gradients_of(model, step):
    """Give the model gradients that depend on where it is."""
    generator = torch.Generator().manual_seed(step)
    model(torch.randn(11, 13, generator=generator)).square().mean().backward()


def torchs(model, training, rate):
    fields = {"momentum": training.momentum} if training.optimizer == "sgd" else {}
    kind = TORCHS[training.optimizer]
    return kind(model.parameters(), lr=rate, weight_decay=training.weight_decay, fused=True, **fields)


def walk(model, optimizer, steps):
    for step in steps:
        gradients_of(model, step)
        optimizer.descend(0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_every_bit_is_torch_s(case):
    training, rate = Training(**case), 0.05
    ours, theirs = a_model(), a_model()
    optimizer, reference = Optimizer(ours, training, rate), torchs(theirs, training, rate)
    for step in range(7):
        gradients_of(theirs, step)
        reference.step()
        reference.zero_grad()
    walk(ours, optimizer, range(7))
    for left, right, start in zip(
        ours.parameters(), theirs.parameters(), a_model().parameters(), strict=True
    ):
        assert torch.equal(left, right)
        assert not torch.equal(left, start)
        assert left.grad is None
    state = optimizer.state()
    for index, parameter in enumerate(theirs.parameters()):
        kinds = ("first",) if case.get("momentum") else ("first", "second", "step")
        for kind in kinds if state else ():
            name = "momentum_buffer" if case.get("momentum") else NAMES[kind]
            assert torch.equal(state[f"{kind}/{index}"], reference.state[parameter][name])


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_a_handed_on_state_goes_on_as_if_it_had_stayed(case):
    training = Training(**case)
    stayed, first = a_model(), a_model()
    walk(stayed, Optimizer(stayed, training, 0.05), range(6))
    giver = Optimizer(first, training, 0.05)
    walk(first, giver, range(3))
    taken = a_model()
    taken.load_state_dict(first.state_dict())
    taker = Optimizer(taken, training, 0.05)
    taker.load({name: value.clone() for name, value in giver.state().items()})
    walk(taken, taker, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(taken.parameters(), stayed.parameters(), strict=True))


def test_plain_sgd_has_no_state_to_hand_on():
    assert Optimizer(a_model(), Training(optimizer="sgd"), 0.1).state() == {}


def test_another_optimizer_s_state_is_refused():
    adam = Optimizer(a_model(), Training(optimizer="adam"), 0.1)
    momentum = Optimizer(a_model(), Training(optimizer="sgd", momentum=0.9), 0.1)
    other = Optimizer(nn.Linear(3, 2), Training(optimizer="adam"), 0.1)
    for state in (momentum.state(), other.state(), {}):
        with pytest.raises(ProtocolError, match="does not fit"):
            adam.load(state)


def test_a_parameter_without_gradient_is_treated_as_having_none_to_follow():
    model = a_model()
    before = [p.detach().clone() for p in model.parameters()]
    Optimizer(model, Training(optimizer="sgd"), 0.1).descend(0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_training_and_counting_costs_never_imports_the_compiler():
    """torch._dynamo and sympy cost two seconds and a hundred megabytes in every process."""
    code = (
        "import sys\n"
        "import coordinator.server.training, sites.training\n"
        "from federation import a_run, federate\n"
        "from coordinator.cost import Clock, costs_of\n"
        "from coordinator.config import Model\n"
        "for preset, model, shape, cut in (('split', None, (6,), ('layer1',)), ('fedavg', None, (6,), ()),\n"
        "        ('split', Model(name='cnn', channels=(4,)), (1, 8, 8), ('conv1',))):\n"
        "    run = a_run(preset, (20, 9), model=model, cut=cut)\n"
        "    party, outcomes, channel = federate(run, (20, 9), shape)\n"
        "    assert costs_of(outcomes['site0'][0], Clock(), channel.lines.sizes())['flops'] > 0\n"
        "print(' '.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"torch._dynamo", "torch._inductor", "sympy"}
