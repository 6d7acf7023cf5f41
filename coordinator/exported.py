"""An exported whole model: a folder that can be loaded, and predicts, without the run it came from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from coordinator.algorithms.party import Party, begin, switch, whole
from coordinator.algorithms.prediction import cohort_of, without_training
from coordinator.config import Record
from coordinator.errors import ConfigError
from coordinator.final_model import Held
from coordinator.models.stages import Part
from coordinator.schedule import Begin
from coordinator.specs import Run
from coordinator.statistics import normalisation_digest, read_statistics

MODEL, ABOUT, STATISTICS, CARD = "model.safetensors", "model.json", "statistics.json", "README.md"
FORMAT = 1


class Exported(Record):
    """What ``model.json`` says of an exported model."""

    format: int = FORMAT
    run: Run
    sha256: str = Field(description="of model.safetensors")
    statistics: str = Field(description="hash of the normalisation in statistics.json")
    input_shapes: dict[str, tuple[int, ...]]
    sources: dict[str, dict[str, Held]] = Field(description="party to the parts that are in it")


def load(folder: Path | str) -> tuple[Part, Exported]:
    """Load an exported model in evaluation mode: inputs (records, ...) float32 to logits (records, outputs).

    Raises:
        ConfigError: a file is missing, or not as it was exported.
    """
    party, what = opened(Path(folder))
    return party.parts["model"], what


def opened(folder: Path) -> tuple[Party, Exported]:
    """Load an exported model as a party that holds all of it.

    Raises:
        ConfigError: as `load`.
    """
    try:
        what = Exported.model_validate_json((folder / ABOUT).read_bytes())
        content = (folder / MODEL).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{folder}: not an exported model ({error.filename}: {error.strerror}); "
            "`python -m coordinator export` makes one of a finished run"
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"{folder / ABOUT}: not of this version ({problem['msg']}); export again") from None
    if hashlib.sha256(content).hexdigest() != what.sha256:
        raise ConfigError(f"{folder / MODEL}: not the file whose hash {ABOUT} has; export again")
    return whole_party(what.run, what.input_shapes, _tensors(content, folder / MODEL)), what


def statistics_of(folder: Path, expected: str) -> dict[str, Any]:
    """Read the statistics a model goes with: a file, or the folder of an exported model.

    Raises:
        ConfigError: they are missing, or others.
    """
    path = folder / STATISTICS if folder.is_dir() else folder
    statistics = read_statistics(path)
    if normalisation_digest(statistics) != expected:
        raise ConfigError(
            f"{path}: another normalisation than the model was trained under; name the statistics.json of "
            "its task and seed, as results/STUDY/statistics/TASK/SEED/statistics.json"
        )
    return statistics


def whole_party(run: Run, input_shapes: Mapping[str, tuple[int, ...]], tensors: dict[str, Tensor]) -> Party:
    """Build the whole model of a run with its weights, in evaluation mode.

    Raises:
        ConfigError: the weights are not those of such a model.
    """
    at = Begin(0, run.training.learning_rates[0])
    party = begin(Party(without_training(run), cohort_of(input_shapes)), at, whole(run))
    try:
        party.parts["model"].load_state_dict(tensors)
    except RuntimeError as error:
        raise ConfigError(f"the parts do not make a whole '{run.model.name}': {error}") from None
    switch(party, training=False)
    return party


def _tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise ConfigError(f"{path}: not a safetensors file ({error}); export again") from None
