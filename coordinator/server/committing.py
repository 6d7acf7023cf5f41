"""The coordinator's side of commits: it has heard that every site holds one before it keeps its own."""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from coordinator.algorithms.party import Party
from coordinator.commits import KEPT
from coordinator.errors import ConfigError, DataError, ProtocolError
from coordinator.keeping import Keeping
from coordinator.outcome import write_bytes
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.line import WAIT_SECONDS
from coordinator.protocol.messages import Committed, Hello
from coordinator.server.heads import Heads
from coordinator.specs import Away

SOON_SECONDS: Final = 0.02  # between two looks whether the disk has a commit, while nothing comes
GENERATION: Final = "generation"
INTERRUPTIONS: Final = "interruptions.jsonl"
HASH = re.compile("[0-9a-f]{64}")
NEVER: Final = (-1, "")  # the number and hash of a site's commit that has made none


class Interruptions:
    """When the run went on from a commit, from which, and who had come back; no rollback forgets one."""

    def __init__(self, state: Path) -> None:
        """Look for those of earlier processes."""
        self._path = state / INTERRUPTIONS

    def forget(self) -> None:
        """Forget an earlier run's."""
        self._path.unlink(missing_ok=True)

    def note(self, back: list[str], commit: int, generation: int) -> None:
        """Note one, durably."""
        row = {"time": time.time(), "back": back, "commit": commit, "generation": generation}
        write_bytes(self._path, self.lines() + json.dumps(row).encode() + b"\n")

    def lines(self) -> bytes:
        """Give them, a JSON object a line."""
        return self._path.read_bytes() if self._path.exists() else b""


class CoordinatorCommits:
    """Makes commits together with the sites."""

    def __init__(
        self,
        keeping: Keeping,
        channel: CoordinatorChannel,
        heads: Heads,
        made: Callable[[int], None] = lambda number: None,
        *,
        meanwhile: bool = False,
    ) -> None:
        """Take what is kept, and whom to hear.

        Args:
            keeping: writes the coordinator's own state.
            channel: to the sites.
            heads: of their ledgers.
            made: hears of every commit.
            meanwhile: go on while the disk works; that a commit is made is said when it lies there.
        """
        self._meanwhile = meanwhile
        if meanwhile:  # a site may wait for it before it says any more
            channel.meanwhile = self.look
        self._begun: tuple[int, dict[str, str]] | None = None
        self._keeping, self._channel, self._heads, self._told = keeping, channel, heads, made
        self._held: dict[str, dict[int, str]] = {}
        self._hellos: dict[str, Hello] = {}
        self._own: dict[str, tuple[int, str]] = {}  # each site's last commit as of the coordinator's
        self._sites: dict[int, dict[str, tuple[int, str]]] = {}  # and as of each of its commits
        self.away: Away = ()

    def choose(self) -> int:
        """Give the last commit from which everybody who is here can go on, -1: none was made.

        Raises:
            ConfigError: there are some, and a site can go on from none of them.
        """
        numbers = self._numbers()
        here = [site for site in self._channel.sites if site in self._channel.hellos]
        lacking = here
        for number in numbers:
            lacking = [site for site in here if not self._goes_on(site, number)]
            if not lacking:
                return number
        if numbers:
            raise ConfigError(self._cannot(lacking, numbers))
        return -1

    def cannot_go_on(self, site: str) -> str:
        """Say why a site that has come can go on from no commit that there is, or nothing."""
        numbers = self._numbers()
        if not numbers or any(self._goes_on(site, number) for number in numbers):
            return ""
        return self._cannot([site], numbers)

    def unfit(self, hello: Hello) -> str:
        """Say why a process that says this can go on from no commit that there is, or nothing."""
        numbers = sorted(self._keeping.commits.held(), reverse=True)
        if not numbers or any(self._goes_on(hello.site, number, dict(hello.commits)) for number in numbers):
            return ""
        return self._cannot([hello.site], numbers)

    def rewind(self, number: int) -> dict[str, int]:
        """Go on from a commit, -1: begin; give each site's own, which is older where it was away."""
        extra = self._keeping.commits.read(number).extra if number >= 0 else {"sites": {}, "away": []}
        self._own = {site: (own, value) for site, (own, value) in extra["sites"].items()}
        self.away = tuple((trial, item, tuple(sites)) for trial, item, sites in extra["away"])
        self._keeping.rewind(number)
        found = {site: self._own.get(site, NEVER)[0] for site in self._channel.sites}
        for site in self._channel.hellos:
            held = self._held[site]
            self._held[site] = {each: value for each, value in held.items() if each <= found[site]}
        return found

    def _numbers(self) -> list[int]:
        self._settled()
        for site, hello in self._channel.hellos.items():
            if self._hellos.get(site) is not hello:  # it has come, or come back, and says what it holds
                self._held[site], self._hellos[site] = dict(hello.commits), hello
        return sorted(self._keeping.commits.held(), reverse=True)

    def _goes_on(self, site: str, number: int, held: Mapping[int, str] | None = None) -> bool:
        """Say whether a site holds what it was at a commit; one that had not been there yet just begins."""
        if number not in self._sites:
            self._sites[number] = self._keeping.commits.read(number).extra["sites"]
        own, value = self._sites[number].get(site, NEVER)
        return own < 0 or (self._held[site] if held is None else held).get(own) == value

    def _cannot(self, lacking: list[str], numbers: list[int]) -> str:
        return (
            f"{', '.join(lacking)}: cannot go on from commit {' or '.join(map(str, numbers))}; restore "
            "that site's state folder, or begin anew: remove the folder commits/ of every party"
        )

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
        self.finish()
        with self._keeping.timed():
            self._make(party, number, item)
        if not self._meanwhile:
            self.finish()

    def _make(self, party: Party, number: int, item: int) -> None:
        hashes = {}
        for site, heard in zip(self._channel.spoken_to(), self._channel.gather(Committed), strict=True):
            if heard.number != number:
                raise ProtocolError(
                    f"'{site}' made commit {heard.number}, expected {number}; run one version", site
                )
            if not (HASH.fullmatch(heard.hash) and HASH.fullmatch(heard.ledger)):
                raise ProtocolError(f"'{site}' sent no hash of its commit or its ledger", site)
            hashes[site] = heard.hash
            self._heads.hear(site, heard)
        self._heads.close(number)
        self._own |= {site: (number, value) for site, value in hashes.items()}
        self._sites[number] = dict(self._own)
        self._keeping.begin(party, number, item, sites=self._own, away=self.away)
        self._begun = number, hashes

    def look(self) -> float:
        """Say so of the last commit, if it lies on the disk by now; give the seconds until to look again."""
        if self._begun and self._keeping.commits.is_written():
            self.finish()
        return SOON_SECONDS if self._begun else WAIT_SECONDS

    def finish(self) -> None:
        """Wait until the last commit lies on the disk, and say so.

        Raises:
            OSError: the disk does not take it.
        """
        with self._keeping.timed():
            number, sites = self._settled()
        for site in sites:  # of whom one may be away by now; and who has come back did not make it
            self._channel.send(site, self._heads.receipt(site))
        if number >= 0:
            self._told(number)

    def _settled(self) -> tuple[int, tuple[str, ...]]:
        """Hold the commit that was begun, which may take a moment; give it and who made it; -1: none was."""
        if self._begun is None:
            return -1, ()
        (number, hashes), self._begun = self._begun, None
        self._keeping.commits.end()
        self._keeping.commits.forget_old()
        for site, value in hashes.items():
            held = {**self._held.get(site, {}), number: value}
            self._held[site] = {each: held[each] for each in sorted(held)[-KEPT:]}
        kept = self._keeping.commits.held()
        self._sites = {each: own for each, own in self._sites.items() if each in kept}
        return number, tuple(hashes)


def next_generation(state: Path) -> int:
    """Raise the generation of the run in this state folder, durably, and give it."""
    path = state / GENERATION
    text = path.read_text() if path.exists() else "0"
    if not text.isdecimal():
        raise DataError(f"{path}: found {text!r:.40}, expected a number; remove the folder, all begin anew")
    found = int(text)
    write_bytes(path, str(found + 1).encode())
    return found + 1
