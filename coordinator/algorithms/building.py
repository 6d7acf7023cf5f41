"""A run's network for inputs of a shape, and whether it can be cut as the run says."""

from importlib import import_module
from typing import Final

from coordinator.errors import ConfigError
from coordinator.models.catalog import entry
from coordinator.models.outlines import Outline, outline
from coordinator.models.stages import Arithmetic, Builders, Shape, Together
from coordinator.specs import Run

OUTLINES: Final[dict[str, dict[str, Outline]]] = {}


def builders_of(run: Run, shape: Shape) -> Builders:
    """Describe the run's model for inputs of this shape.

    Raises:
        ConfigError: a network of the study's own cannot be built, or cut as the run says.
    """
    builders: Builders = import_module(entry(run.model).module).stages(run.model, shape, run.outputs)
    if isinstance(builders, Together):
        check_cut(run, builders)
    return builders


def outline_of(run: Run, shape: Shape) -> dict[str, Outline]:
    """Outline the run's stages, once a process: limits, shapes and the price of a wire all ask for it."""
    asked = repr((run.model, run.outputs, run.cut, shape))
    if asked not in OUTLINES:
        OUTLINES[asked] = outline(builders_of(run, shape), shape)
    return OUTLINES[asked]


def arithmetic_of(run: Run, device: str = "cpu") -> Arithmetic:
    """Say how the run's parts compute, the same at every party but for the device."""
    training = run.training
    return Arithmetic(training.precision == "bf16_mixed", training.memory_format == "channels_last", device)


def check_cut(run: Run, builders: Together) -> None:
    """Refuse a cut where more than one tensor is on its way.

    Raises:
        ConfigError: with what is in the way and where one can cut.
    """
    legal = tuple(builders)
    for name in run.cut:
        if name not in legal:
            raise ConfigError(
                f"cannot cut '{run.model.path or run.model.name}' after '{name}': {builders.why_not(name)}; "
                f"it can be cut after {', '.join(legal[:-1]) or 'nothing'}",
                key=f"tasks.{run.task}.cut",
            )
    places = [legal.index(name) for name in run.cut]
    if places != sorted(set(places)) or legal[-1] in run.cut:
        raise ConfigError(
            f"cut {list(run.cut)} leaves a part empty; the stages are {', '.join(legal)}",
            key=f"tasks.{run.task}.cut",
        )
