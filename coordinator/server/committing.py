"""The coordinator's side of commits: it has heard that every site holds one before it keeps its own."""

import time
from pathlib import Path
from typing import Any, Final

from coordinator.algorithms.party import Party
from coordinator.errors import ProtocolError
from coordinator.keeping import Keeping
from coordinator.outcome import write_bytes
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Committed, Kept

GENERATION: Final = "generation"


class Heads:
    """The last line's hash of each site's ledger at each commit: what shows a ledger rewritten or cut."""

    def __init__(self) -> None:
        """Know none."""
        self.by_site: dict[str, list[str]] = {}

    def state(self) -> dict[str, Any]:
        """Give them."""
        return {"by_site": {site: list(heads) for site, heads in self.by_site.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from these."""
        self.by_site = {site: list(heads) for site, heads in state["by_site"].items()}


class Interruptions:
    """When the run went on from a commit, from which, and who had come back."""

    def __init__(self) -> None:
        """Know of none."""
        self.rows: list[dict[str, Any]] = []

    def note(self, back: list[str], commit: int, generation: int) -> None:
        """Note one."""
        self.rows.append({"time": time.time(), "back": back, "commit": commit, "generation": generation})

    def state(self) -> dict[str, Any]:
        """Give them."""
        return {"rows": list(self.rows)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from these."""
        self.rows = list(state["rows"])


class CoordinatorCommits:
    """Makes commits together with the sites."""

    def __init__(self, keeping: Keeping, channel: CoordinatorChannel, heads: Heads) -> None:
        """Take what is kept, and whom to hear."""
        self._keeping, self._channel, self._heads = keeping, channel, heads
        self._held: dict[str, dict[int, str]] = {}

    def choose(self, back: list[str]) -> int:
        """Give the last commit that everybody holds, -1: none was made.

        Args:
            back: the sites that have come, or come back, and have said what they hold.

        Raises:
            ProtocolError: there are some, and a site holds none of them.
        """
        self._held |= {site: dict(self._channel.hellos[site].commits) for site in back}
        numbers = sorted(self._keeping.commits.held(), reverse=True)
        lacking = list(self._channel.sites)
        for number in numbers:
            hashes = self._keeping.commits.read(number).extra["sites"]
            lacking = [s for s in self._channel.sites if self._held[s].get(number) != hashes[s]]
            if not lacking:
                return number
        if numbers:
            raise ProtocolError(
                f"{', '.join(lacking)}: cannot go on from commit {' or '.join(map(str, numbers))}; restore "
                "that site's state folder, or begin anew: remove the folder commits/ of every party"
            )
        return -1

    def start(self) -> int:
        """Give the item of the schedule after which to go on."""
        return self._keeping.start()

    def go_on(self, party: Party) -> None:
        """Put the coordinator into the commit's state."""
        self._keeping.go_on(party)

    def make(self, party: Party, number: int, item: int) -> None:
        """Hear every site's word, keep the coordinator's own state, and say so.

        Raises:
            ProtocolError: a site committed elsewhere in the schedule.
        """
        with self._keeping.timed():
            self._make(party, number, item)

    def _make(self, party: Party, number: int, item: int) -> None:
        hashes = {}
        for site, heard in zip(self._channel.sites, self._channel.gather(Committed), strict=True):
            if heard.number != number:
                raise ProtocolError(
                    f"'{site}' made commit {heard.number}, expected {number}; run one version"
                )
            hashes[site] = heard.hash
            self._held.setdefault(site, {})[number] = heard.hash
            self._heads.by_site.setdefault(site, []).append(heard.ledger)
        self._keeping.write(party, number, item, sites=hashes)
        self._channel.broadcast(Kept(number))


def next_generation(state: Path) -> int:
    """Raise the generation of the run in this state folder, durably, and give it."""
    path = state / GENERATION
    found = int(path.read_text()) if path.exists() else 0
    write_bytes(path, str(found + 1).encode())
    return found + 1
