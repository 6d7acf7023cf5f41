"""What a party paid: floating-point operations, seconds, memory, bytes."""

import resource
import time
from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from coordinator.algorithms.party import Party
from coordinator.errors import ConfigError
from coordinator.models.outlines import empty_records
from coordinator.models.stages import Builders, Part, Shape, build
from coordinator.protocol.sizes import COUNTS, Counts

PROBE = 2  # records in the batch on which operations are counted


class Clock:
    """Wall and processor seconds since it was made, and those of them in which a party waited."""

    def __init__(self, waited: Callable[[], float] = lambda: 0.0) -> None:
        """Start now; ``waited`` tells the seconds of waiting so far."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._waited, self._idle = waited, waited()

    def state(self) -> dict[str, float]:
        """Give the seconds so far."""
        return self.read()

    def load(self, state: dict[str, float]) -> None:
        """Go on from so many seconds."""
        self._wall = time.perf_counter() - state["seconds"]
        self._cpu = time.process_time() - state["cpu_seconds"]
        self._idle = self._waited() - state["waiting_seconds"]

    def read(self) -> dict[str, float]:
        """Give the seconds so far."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "waiting_seconds": self._waited() - self._idle,
        }


def costs_of(party: Party, clock: Clock, counted: Counts) -> dict[str, float]:
    """Add up a party's costs.

    Args:
        party: after its last item.
        clock: started when the party entered the run.
        counted: bytes by direction, phase and message, as the channel counts them.
    """
    forward, backward = flops_per_record(party)
    return {
        **bytes_of(counted),
        **clock.read(),
        "flops": party.records_trained * (forward + backward) + party.records_scored * forward,
        "peak_memory": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
        **_on_gpu(party),
        **parameters_of(party),
        "steps": float(party.steps),
    }


def _on_gpu(party: Party) -> dict[str, float]:
    if party.device != "cuda":
        return {}
    return {"gpu_peak_memory": float(torch.cuda.max_memory_allocated())}


def bytes_of(counted: Counts) -> dict[str, float]:
    """Total what arrays, messages and the wire took per direction, each kind's beside the total."""
    totals = Counter({f"{count}_{direction}": 0 for count in COUNTS for direction in ("up", "down")})
    for count in COUNTS:
        for name, size in getattr(counted, count).items():
            direction, _, kind = name.partition(".")
            totals[f"{count}_{direction}"] += size
            totals[f"{count}_{direction}.{kind}"] += size
    return {name: float(size) for name, size in totals.items()}


def parameters_of(party: Party) -> dict[str, float]:
    """Count the model's parameters that a party holds, and those that it ever has in the clear.

    A coordinator that averages the sites' parts, or adds up their gradients from a start that it knows, has
    these too; sealed parts that it relays it has not.
    """
    held = sum(p.numel() for part in party.parts.values() for p in part.parameters())
    seen = held + sum(prod(shape) for shape in party.site_parameters)
    return {"parameters": float(held), "parameters_seen": float(seen)}


def flops_per_record(party: Party) -> tuple[float, float]:
    """Count the forward and the backward operations of a record in the parts this party holds.

    Counted by torch over matrix products and convolutions; elementwise work and the optimizer's is
    not counted. The gradient at a first layer's input is not computed and so not counted.
    """
    counts = [_count(part, shape, name) for name, (part, shape) in _inputs(party).items()]
    return sum(forward for forward, _ in counts), sum(backward for _, backward in counts)


def _inputs(party: Party) -> dict[str, tuple[Part, Shape]]:
    shapes: dict[str, Shape] = {"model": party.cohort.shape, "front": party.cohort.shape}
    shapes |= {"back": party.shapes.get("front", ()), "middle": party.shapes.get("front", ())}
    shapes |= {"head": party.shapes.get("middle", ())}
    return {name: (part, shapes[name]) for name, part in party.parts.items()}


def _count(part: Part, shape: Shape, name: str) -> tuple[float, float]:
    value = empty_records(PROBE, shape)
    if isinstance(value, torch.Tensor):
        value.requires_grad_(name not in ("model", "front"))
    with Operations() as counted:
        output = part(value)
        forward = counted.flops
        output.sum().backward()
    return forward / PROBE, (counted.flops - forward) / PROBE


def stage_flops(part: Part, shape: Shape) -> dict[str, float]:
    """Count a record's forward operations in each stage of a whole model."""
    value: Any = empty_records(PROBE, shape)
    found = {}
    part.eval()
    with torch.no_grad(), Operations() as counted:
        for name, stage in part.stages.items():
            before = counted.flops
            value = stage(value)
            found[name.replace("/", ".")] = (counted.flops - before) / PROBE
    return found


def check_counted(builders: Builders, shape: Shape) -> None:
    """Refuse a model with a layer whose matrices nobody can count the products of: its costs would be wrong.

    Raises:
        ConfigError: torch has no formula for what a layer calls, as for `LSTM` and `Bilinear`.
    """
    model = build(builders, 0).eval()
    with torch.no_grad(), Operations() as counted:
        counts = {
            name: _watched(module, counted) for name, module in model.named_modules() if _multiplies(module)
        }
        model(empty_records(PROBE, shape))
    if none := [name for name, found in counts.items() if found == [0]]:
        raise ConfigError(
            f"the operations of '{none[0].removeprefix('stages.')}' count as 0 though it has a weight "
            "matrix: torch has no count for what it calls, and every cost of this model would be wrong; "
            "write it with linear layers, convolutions or matrix products",
            key="model",
        )


def _multiplies(module: torch.nn.Module) -> bool:
    """Say whether a layer has matrices of its own, and does not look up in them or make others of them."""
    others = torch.nn.Embedding, torch.nn.EmbeddingBag, ParametrizationList
    return not isinstance(module, others) and any(p.ndim > 1 for p in module.parameters(recurse=False))


def _watched(module: torch.nn.Module, counted: "Operations") -> list[int]:
    """Give a list that holds how much a layer counted once it is called."""
    before: list[int] = []
    found: list[int] = []
    module.register_forward_pre_hook(lambda *_: before.append(counted.flops))
    module.register_forward_hook(lambda *_: found.__setitem__(slice(None), [counted.flops - before[0]]))
    return found


class Operations(TorchDispatchMode):
    """Adds up operations by torch's own formulas.

    torch's FlopCounterMode does the same, but imports the compiler: two seconds in every process.
    """

    def __init__(self) -> None:
        """Start at none."""
        super().__init__()
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result
