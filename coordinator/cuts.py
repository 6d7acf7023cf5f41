"""``python -m coordinator cuts``: where a model can be cut, what crosses there, what is on each side."""

import argparse
import json
from collections.abc import Iterable
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from coordinator.config import Model
from coordinator.cost import stage_flops
from coordinator.errors import ConfigError
from coordinator.limits import FLOAT_BYTES
from coordinator.model_rules import contradiction
from coordinator.models.catalog import entry
from coordinator.models.outlines import outline
from coordinator.models.stages import Builders, Shape, build
from coordinator.study import checked, read_study
from coordinator.yaml_lines import Lines, parse_setting

DIMENSIONS: Final = {1: "table", 2: "series", 3: "image"}  # of one record


class Cut(NamedTuple):
    """What a cut after a stage means for one record; operations are those of a forward pass."""

    after: str
    shape: tuple[int, ...]
    front_parameters: int
    front_flops: float
    back_flops: float

    @property
    def activation_bytes(self) -> int:
        """What goes up, and as much comes down in training."""
        return FLOAT_BYTES * prod(self.shape)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", help="a model's name, or a class as package.module:Class")
    parser.add_argument("--shape", help="of one record, such as 1,28,28 (channels, height, width)")
    parser.add_argument(
        "--outputs", type=int, default=1, metavar="K", help="classes of the outcome, where more than two"
    )
    parser.add_argument("--study", type=Path, metavar="FILE", help="take model and records from a study")
    parser.add_argument("--task", metavar="NAME", help="of the study; its only one by default")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where the study's results are")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the model, such as width=16"
    )


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    model, shape = described(options)
    make = import_module(entry(model, "MODEL").module).stages
    builders: Builders = make(model, shape, options.outputs)
    Console(width=None if Console().is_terminal else 120).print(table(model, shape, cuts(builders, shape)))
    return 0


def cuts(builders: Builders, shape: Shape) -> list[Cut]:
    """Say what each cut means, in the order of the stages."""
    stages = outline(builders, shape)
    flops = stage_flops(build(builders, 0), shape)
    total, done, parameters, found = sum(flops.values()), 0.0, 0, []
    for name, stage in list(stages.items())[:-1]:
        done += flops[name]
        parameters += stage.parameters
        found.append(Cut(name, stage.shape, parameters, done, total - done))
    return found


def table(model: Model, shape: Shape, found: Iterable[Cut]) -> Table:
    """Lay cuts out, a row each."""
    drawn = Table(title=f"{model.path or model.name}: records of {shape}, per record, forward")
    drawn.add_column("cut after", overflow="fold")
    for heading in ("activations", "bytes", "front parameters", "front FLOPs", "back FLOPs"):
        drawn.add_column(heading, justify="right")
    for cut in found:
        numbers = (cut.activation_bytes, cut.front_parameters, int(cut.front_flops), int(cut.back_flops))
        drawn.add_row(cut.after, " x ".join(map(str, cut.shape)), *(f"{each:,}" for each in numbers))
    return drawn


def described(options: argparse.Namespace) -> tuple[Model, Shape]:
    """Find out which model is meant, and what its records look like.

    Raises:
        ConfigError: the model, the study or the task is unknown, or no shape can be known.
    """
    shape: Shape | None = shape_of(options.shape) if options.shape else None
    model = None
    if options.study:
        model, agreed = of_study(options)
        shape = shape or agreed
    if shape is None:
        raise ConfigError("what do the records look like? give --shape, such as 1,28,28, or --study FILE")
    named = named_model(options.model, options.set, model)
    if problem := contradiction(named):
        raise ConfigError(problem, key="MODEL")
    check_shape(named, shape)
    return named, shape


def check_shape(model: Model, shape: Shape) -> None:
    """Refuse records that the model cannot read.

    Raises:
        ConfigError: they are of another kind.
    """
    reads = entry(model, "MODEL").reads
    if model.name == "fusion" and not isinstance(shape, dict):
        raise ConfigError("'fusion' reads several modalities; give --study FILE after its sites agreed")
    if isinstance(shape, dict):
        return
    if (kind := DIMENSIONS[len(shape)]) not in reads:
        raise ConfigError(f"'{model.name}' reads {' or '.join(reads)}, and {shape} is the shape of a {kind}")


def named_model(name: str, settings: Iterable[str], of_task: Model | None) -> Model:
    """Make the model's record: the task's keys where the task has this model, and the settings over them."""
    asked = {"name": "module", "path": name} if ":" in name else {"name": name}
    same = of_task is not None and all(getattr(of_task, key) == value for key, value in asked.items())
    values = of_task.model_dump(mode="json") if of_task and same else asked
    lines: Lines = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        values[key] = parse_setting(text, (key,), lines)
    return checked(Model, values, lines)


def shape_of(text: str) -> tuple[int, ...]:
    """Read a shape.

    Raises:
        ConfigError: it is not one to three positive numbers.
    """
    parts = text.split(",")
    if not (1 <= len(parts) <= 3 and all(part.strip().isdecimal() and int(part) > 0 for part in parts)):
        raise ConfigError(
            f"--shape {text}: expected one record's as 12 (features), 48,74 (steps, columns) or "
            "1,28,28 (channels, height, width)"
        )
    return tuple(int(part) for part in parts)


def of_study(options: argparse.Namespace) -> tuple[Model, Shape | None]:
    """Take a task's model, and the shape its sites agreed on if they did.

    Raises:
        ConfigError: the study has no such task, or several and none was named.
    """
    study, _, _ = read_study([options.study])
    names = [options.task] if options.task else list(study.tasks)
    if len(names) != 1 or names[0] not in study.tasks:
        raise ConfigError(f"--task: name one of {', '.join(study.tasks)}")
    folder = options.results / study.name / "statistics" / names[0]
    agreed = sorted(folder.glob("*/statistics.json"))
    if not agreed:
        if options.shape:
            return study.tasks[names[0]].model, None
        raise ConfigError(
            f"the sites of '{names[0]}' have not agreed on their records yet ({folder} holds no "
            "statistics.json); run the study, or give --shape"
        )
    shapes = {k: tuple(v) for k, v in json.loads(agreed[0].read_text("utf-8"))["input_shapes"].items()}
    return study.tasks[names[0]].model, shapes if len(shapes) > 1 else next(iter(shapes.values()))
