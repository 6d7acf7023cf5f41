"""A network of the study's own: a class named by its import path, cut as it is."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from torch import nn

from coordinator.config import Model
from coordinator.errors import ConfigError
from coordinator.models.slicing import together
from coordinator.models.stages import Builders, Shape

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def stages(model: Model, shape: Shape, outputs: int = 1) -> Builders:
    """Describe the stages: records in, (batch, outputs) logits out of the last.

    Args:
        model: `module`, with its import path and its constructor's keywords.
        shape: of one record.
        outputs: logits of a record.

    Raises:
        ConfigError: there is no such class, it is no nn.Module, or it does not take these records.
    """
    make = partial(_made, model, class_of(str(model.path)))
    try:
        return together(make, shape, f"{model!r} {shape}", outputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{model.path}' cannot read records of shape {shape} ({_first_line(error)}); "
            "set its options to fit them"
        ) from None


def class_of(path: str) -> Callable[..., nn.Module]:
    """Import a class.

    Raises:
        ConfigError: it cannot be imported, or is no nn.Module.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"'{path}' cannot be imported ({error}); name a class as package.module:Class, and let every "
            "party find the package (PYTHONPATH, or installed)"
        ) from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"'{path}' is no torch.nn.Module class; name one")
    return found


def _made(model: Model, build: Callable[..., nn.Module]) -> nn.Module:
    try:
        network = build(**model.options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"'{model.path}' cannot be built with options {dict(model.options)} ({_first_line(error)}); "
            "correct model.options"
        ) from None
    if model.norm != "batch" and any(isinstance(each, BATCH_NORM) for each in network.modules()):
        raise ConfigError(
            f"'{model.path}' has batch norm, which cannot train on a batch of one record; say "
            "norm: batch in the model, and a last batch of one joins the one before"
        )
    return network


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
