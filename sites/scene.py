"""What an attacker on activations has, and the truth it is scored against."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coordinator.models.stages import Value
from sites.attacked import LEAST, Attacked, Hospital, activations
from sites.joined import Joined
from sites.records import Records

Floats = NDArray[np.float32]


class Scene(NamedTuple):
    """Recorded activations of test records, (records, ...), and what they are of.

    `truth` and `auxiliary` are inputs by modality; `labels` (records,) the truth's.
    """

    seen: Floats
    truth: dict[str, Floats]
    labels: NDArray[np.int64]
    auxiliary: dict[str, Floats]
    owners: tuple[Hospital, ...]  # of the auxiliary records

    def inputs(self) -> Value:
        """Give the auxiliary records as a model reads them."""
        return Joined([each.roles["auxiliary"].inputs for each in self.owners])[:]

    def auxiliary_labels(self) -> NDArray[np.float32]:
        """Give their labels (n,)."""
        return np.concatenate([each.roles["auxiliary"].labels for each in self.owners])

    def some(self, most: int) -> "Scene":
        """Keep the first records, for attacks that take long."""
        truth = {name: values[:most] for name, values in self.truth.items()}
        return self._replace(seen=self.seen[:most], truth=truth, labels=self.labels[:most])


def scene_of(attacked: Attacked) -> Scene | None:
    """Lay out what was recorded; None where nothing was, or too few auxiliary records teach an attack.

    Where each site has a front of its own, only the largest site's records are attacked.
    """
    if attacked.run.algorithm != "split" or not attacked.wire:
        return None
    sites = range(len(attacked.run.sites))
    chosen = [attacked.largest()] if attacked.run.site_parts == "private" else sites
    recorded = {index: found for index in chosen if (found := attacked.scored(index)) is not None}
    own = tuple(each for each in attacked.hospitals if len(each.roles["auxiliary"].labels) > 0)
    if not recorded or sum(len(each.roles["auxiliary"].labels) for each in own) < LEAST:
        return None
    tests = [attacked.hospitals[index].roles["test"] for index in recorded]
    return Scene(
        np.concatenate(list(recorded.values())),
        together(tests),
        np.concatenate([records.labels for records in tests]).astype(np.int64),
        together([each.roles["auxiliary"] for each in own]),
        own,
    )


def known_activations(attacked: Attacked, scene: Scene) -> Floats:
    """Apply the final front, one and the same at all sites, to the auxiliary records."""
    front = attacked.front(attacked.run.sites[0])
    return np.concatenate([activations(front, hospital.inputs("auxiliary")) for hospital in scene.owners])


def together(several: Sequence[Records]) -> dict[str, Floats]:
    """Give the inputs of several sites' records by modality, and which are `present`."""
    arrays = [records.inputs.arrays(slice(None)) for records in several]
    return {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}


def laid_flat(inputs: Mapping[str, Floats]) -> Floats:
    """Lay all modalities' inputs of a record in a row: (records, features)."""
    flat = [values.reshape(len(values), -1) for name, values in inputs.items() if name != "present"]
    return np.concatenate(flat, axis=1)


def lifted(flat: Floats, like: Mapping[str, Floats]) -> dict[str, Floats]:
    """Cut rows of features into modalities again."""
    found, start = {}, 0
    for name, values in like.items():
        if name != "present":
            width = int(np.prod(values.shape[1:]))
            found[name] = flat[:, start : start + width].reshape(len(flat), *values.shape[1:])
            start += width
    return found
