"""The coordinator's lines to all sites, by site: what was counted on them together."""

from collections import Counter
from typing import Any

from coordinator.protocol.line import Line
from coordinator.protocol.sizes import Counts, together


class Lines(dict[str, Line]):
    """A line to each site; a commit keeps what was counted (`coordinator.keeping.Keeps`)."""

    def state(self) -> dict[str, Any]:
        """Give what was counted on each line."""
        return {site: line.state() for site, line in self.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on counting from there."""
        for site, line in self.items():
            line.load(state[site])

    def counted(self) -> Counter[str]:
        """Add up the bytes of all lines, by direction, phase and kind."""
        return self.sizes().bytes

    def sizes(self) -> Counts:
        """Add up the arrays', the messages' and the wire's bytes of all lines."""
        return together(line.counts for line in self.values())

    def heard(self) -> int:
        """Count the messages that have come from all sites."""
        return sum(line.taken for line in self.values())
