"""``python -m tests.bench.exactness``: what each strategy equals or comes close to, parameter by parameter.

Real algorithms and messages between threads, over sites of 1000, 100, 10 and 3 records (large networks: 9, 3,
2 and 2), with dropout where bits are claimed. Ends with status 1 where a claim fails.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from coordinator.config import Model
from coordinator.models.catalog import stage_names
from coordinator.presets import PRESETS
from tests.federation import a_run, federate

UNEQUAL, ONE = (1000, 100, 10, 3), (100,)
CLOSE = 1e-6
MODALITIES = {"table": (5,), "series": (4, 6), "image": (1, 8, 8), "present": (3,)}
MODELS: tuple[tuple[Model, Any], ...] = (
    (Model(name="logistic_regression"), (6,)),
    (Model(name="mlp", hidden=(16, 8), dropout=0.3), (6,)),
    (Model(name="gru", hidden=(6, 5), dropout=0.2), (4, 6)),
    (Model(name="transformer", hidden=(8, 5), blocks=2, heads=2, dropout=0.2), (4, 6)),
    (Model(name="cnn", channels=(4, 8), dropout=0.2), (1, 8, 8)),
    (Model(name="fusion", hidden=(6, 5), channels=(4, 4), dropout=0.2), MODALITIES),
)
# a pass of these takes a second: few records, ResNet-18 at every cut, DenseNet-121 at some of its 78
FEW = (9, 3, 2, 2)
RESNET = Model(name="resnet18", width=8, dropout=0.2)
LARGE: tuple[tuple[Model, Any, tuple[tuple[str, ...], ...]], ...] = (
    (RESNET, (1, 12, 12), (*((name,) for name in stage_names(RESNET)[:-1]), ("layer1", "layer3"))),
    (Model(name="resnet18", width=8, norm="batch"), (1, 12, 12), (("layer2",), ("maxpool", "layer3"))),
    (
        Model(name="densenet121", width=8, dropout=0.2),
        (1, 29, 29),
        (("features.denseblock2",), ("features.transition3.relu",), ("features.pool0", "class_layers.pool")),
    ),
)
MLP, PLAIN = MODELS[1], (Model(name="mlp", hidden=(16, 8)), (6,))
ADAM, MOMENTUM, SGD = (
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd"},
)
SPLITS = [name for name, axes in PRESETS.items() if axes["algorithm"] == "split"]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Side:
    """One strategy as a claim names it; `cut` is empty where the model stays whole."""

    preset: str
    changes: dict[str, Any] = field(default_factory=dict)
    cut: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """That two sides end with the same parameters, to the bit or within `CLOSE`."""

    one: Side
    other: Side
    model: tuple[Model, Any] = MLP
    sizes: tuple[int, ...] = UNEQUAL
    training: dict[str, Any] = field(default_factory=lambda: ADAM)
    bits: bool = True


def claims() -> Iterator[Claim]:
    """List what DESIGN claims, for every model and every legal cut."""
    for model in MODELS:
        yield from _sequential(model)
    yield from _large()
    yield from _one_site()
    yield from _pairs()


def cuts(model: Model) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Give every legal cut in two, and in three."""
    places = stage_names(model)[:-1]
    return [(place,) for place in places], list(combinations(places, 2))


def _sequential(model: tuple[Model, Any]) -> Iterator[Claim]:
    by_site = Side("centralized", {"batches": "by_site"})
    yield Claim(Side("cyclic"), by_site, model)
    two, three = cuts(model[0])
    yield from (Claim(Side("split", cut=cut), by_site, model) for cut in two)
    yield from (Claim(Side("split_u", cut=cut), by_site, model) for cut in three)


def _large() -> Iterator[Claim]:
    by_site, training = Side("centralized", {"batches": "by_site"}), {**ADAM, "rounds": 1, "batch_size": 8}
    for model, shape, places in LARGE:
        for cut in places:
            side = Side("split" if len(cut) == 1 else "split_u", cut=cut)
            yield Claim(side, by_site, (model, shape), FEW, training)


def _one_site() -> Iterator[Claim]:
    kept = {"optimizer_state": "kept"}
    for preset in SPLITS:
        batches = "joint" if PRESETS[preset]["back"] == "joint" else "by_site"
        cut = ("layer1", "layer2")[: 1 + (PRESETS[preset].get("labels") == "private")]
        yield Claim(Side(preset, kept, cut), Side("centralized", {"batches": batches}), sizes=ONE)
    for preset, changes in (("fedavg", {}), ("fedprox", {"proximal_mu": 0.0}), ("fedbn", {})):
        yield Claim(Side(preset, {**kept, **changes}), Side("centralized"), sizes=ONE)
    yield Claim(Side("scaffold"), Side("centralized"), sizes=ONE, training=SGD)


def _pairs() -> Iterator[Claim]:
    yield Claim(Side("splitfed_v1", cut=("layer1",)), Side("fedavg"))
    yield Claim(Side("fedprox", {"proximal_mu": 0.0}), Side("fedavg"))
    yield Claim(Side("fedbn"), Side("fedavg"))
    joint, full = Side("centralized", {"batches": "joint"}), {**SGD, "batch_size": 2000}
    for training in (SGD, MOMENTUM, ADAM):
        calm = {**training, "learning_rates": (0.01,)}
        yield Claim(Side("split_parallel", cut=("layer1",)), joint, PLAIN, training=calm, bits=False)
    yield Claim(Side("fedavg"), Side("centralized"), PLAIN, training=full, bits=False)
    equal_steps = (32, 30, 28, 25)
    yield Claim(Side("fednova"), Side("fedavg"), PLAIN, equal_steps, SGD, bits=False)
    first = {**SGD, "rounds": 1}
    yield Claim(Side("scaffold"), Side("fedavg"), PLAIN, training=first, bits=False)


def final(side: Side, claim: Claim) -> Tensors:
    """Run a side; give the parameters and buffers of the model it ends with."""
    model, shape = claim.model
    run = a_run(side.preset, claim.sizes, model=model, cut=side.cut, training=claim.training, **side.changes)
    coordinator, outcomes, _ = federate(run, claim.sizes, shape)
    parts = [*coordinator.parts.values(), *outcomes[run.parties[-1]][0].parts.values()]
    return {name: value for part in parts for name, value in part.state_dict().items()}


def differ(one: Tensors, other: Tensors) -> float:
    """Give the largest difference of any number; infinite where the names are not the same."""
    if one.keys() != other.keys():
        return float("inf")
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def main(tried: Iterable[Claim] | None = None) -> int:
    """Try every claim, print the table; 1 where one fails."""
    torch.set_num_threads(1)
    columns = (
        "strategy",
        "reference",
        "model",
        "cut",
        "optimizer",
        "K",
        "parameters",
        "difference",
        "claim",
        "holds",
    )
    table, failed = Table(*columns, title="Equal is every bit; close is within 1e-6"), 0
    for claim in claims() if tried is None else tried:
        one, other = final(claim.one, claim), final(claim.other, claim)
        difference = differ(one, other)
        holds = difference == 0 if claim.bits else difference <= CLOSE
        failed += not holds
        count = sum(value.numel() for value in one.values())
        table.add_row(
            *_words(claim),
            str(count),
            f"{difference:.1e}" if difference else "0",
            "equal" if claim.bits else "close",
            "yes" if holds else "NO",
        )
    Console(width=160).print(table)
    print(f"{table.row_count} claims, {failed} failed")
    return min(failed, 1)


def _words(claim: Claim) -> tuple[str, ...]:
    def named(side: Side) -> str:
        changes = (
            f"{value}" if key == "batches" else f"{key} {value}" for key, value in side.changes.items()
        )
        return " ".join([side.preset, *changes])

    optimizer = claim.training["optimizer"] + (", momentum" if "momentum" in claim.training else "")
    return (
        named(claim.one),
        named(claim.other),
        claim.model[0].name,
        " ".join(claim.one.cut),
        optimizer,
        str(len(claim.sizes)),
    )


if __name__ == "__main__":
    sys.exit(main())
