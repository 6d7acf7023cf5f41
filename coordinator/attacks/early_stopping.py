"""Early stopping of what attackers train (Prechelt 1998): kept as it was best on records set aside.

An attacker has few auxiliary records; with many steps it would learn them by heart, and find less than with
few. A fifth of them is only checked on.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from coordinator.draws import key

Numbers = NDArray[np.int64]
CHECK_EVERY: Final = 25  # steps
ASIDE: Final = 5  # one record in so many


def set_aside(records: int, seed: int, attack: str, copies: int = 1) -> tuple[Numbers, Numbers]:
    """Part records: those to check on and those to learn from, all copies of a record on one side."""
    order = np.random.default_rng(key(seed, attack, "check")).permutation(records)
    check, learn = (
        np.concatenate([part + records * copy for copy in range(copies)])
        for part in np.split(order, [max(1, records // ASIDE)])
    )
    return check, learn


class Best:
    """The state in which some networks erred least."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """Know of no error yet."""
        self._networks, self._kept = tuple(networks), _copies(networks)
        self.error, self.worse = float("inf"), 0  # and how often since it was no better

    def check(self, error: float) -> None:
        """Keep the networks as they are, if they never erred less."""
        if error < self.error:
            self.error, self.worse, self._kept = error, 0, _copies(self._networks)
        else:
            self.worse += 1

    def restore(self) -> None:
        """Put the networks back to where they erred least; before any check they stay as they are."""
        if self.error == float("inf"):
            return
        for network, kept in zip(self._networks, self._kept, strict=True):
            network.load_state_dict(kept)


def _copies(networks: Sequence[nn.Module]) -> list[dict[str, Tensor]]:
    return [
        {name: value.detach().clone() for name, value in network.state_dict().items()} for network in networks
    ]
