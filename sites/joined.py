"""The inputs of one hospital, or of several in a row as the pool has them, as torch tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coordinator.algorithms.training import Draw
from coordinator.models.stages import Value
from coordinator.schedule import Indices
from sites.augment import augmented
from sites.inputs import Inputs


class Joined:
    """Records of hospitals in a row; a batch is read from where its records lie."""

    def __init__(self, several: Sequence[Inputs]) -> None:
        """Number the records through the hospitals."""
        self._several = several
        self._starts = np.cumsum([0, *(len(inputs.rows) for inputs in several)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, records: Indices | slice) -> Value:
        """Give the inputs of some records: a tensor, or one per modality."""
        wanted = np.arange(len(self))[records]
        tensors = {name: torch.from_numpy(array) for name, array in self._arrays(wanted).items()}
        return tensors if len(tensors) > 1 else next(iter(tensors.values()))

    def changed(self, how: tuple[str, ...], records: Indices, draw: Draw) -> Value:
        """Give a training batch whose images are randomly changed."""
        value = self[records]
        if isinstance(value, Tensor):
            return augmented(value, how, draw)
        return {**value, "image": augmented(value["image"], how, draw)}

    def _arrays(self, wanted: Indices) -> dict[str, np.ndarray]:
        if len(self._several) == 1:
            return self._several[0].arrays(wanted)
        hospital = np.searchsorted(self._starts, wanted, side="right") - 1
        found: dict[str, np.ndarray] = {}
        for index in np.unique(hospital):
            here = np.flatnonzero(hospital == index)
            arrays = self._several[index].arrays(wanted[here] - self._starts[index])
            for name, array in arrays.items():
                whole = found.setdefault(name, np.empty((len(wanted), *array.shape[1:]), np.float32))
                whole[here] = array
        return found or self._several[0].arrays(wanted)
