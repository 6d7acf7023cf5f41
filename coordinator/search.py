"""What it costs to search for a learning rate: the trials of the grid beside the one that was kept."""

from collections.abc import Callable
from typing import Any

from coordinator.algorithms.party import Party
from coordinator.schedule import Item, Validate

# bytes both ways, and messages that left the sites
Moved = tuple[int, int]


class Search:
    """Sees every item of a run, and what had been moved when each trial ended."""

    def __init__(self, moved: Callable[[], Moved]) -> None:
        """Take what tells the bytes and messages so far."""
        self._moved = moved
        self._ends: dict[int, Moved] = {}

    def see(self, item: Item, party: Party) -> None:
        """Take note of a finished round."""
        if isinstance(item, Validate):
            self._ends[item.trial] = self._moved()

    def state(self) -> dict[str, Any]:
        """Give what had been moved at each trial's end."""
        return {"ends": {trial: list(moved) for trial, moved in self._ends.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._ends = {trial: (moved[0], moved[1]) for trial, moved in state["ends"].items()}

    def costs(self, kept: int) -> dict[str, float]:
        """Count the trials, all releases, and the bytes and releases of trials other than the kept one.

        Args:
            kept: the trial whose model is this party's; at the coordinator the best over all sites.
        """
        everything, (bytes_kept, releases_kept) = self._end(len(self._ends) - 1), self._of(kept)
        several = len(self._ends) > 1
        return {
            "trials": float(len(self._ends)),
            "releases": float(self._moved()[1]),
            "search_bytes": float(everything[0] - bytes_kept) if several else 0.0,
            "search_releases": float(everything[1] - releases_kept) if several else 0.0,
        }

    def _end(self, trial: int) -> Moved:
        return self._ends.get(trial, (0, 0))

    def _of(self, trial: int) -> Moved:
        end, begin = self._end(trial), self._end(trial - 1)
        return end[0] - begin[0], end[1] - begin[1]
