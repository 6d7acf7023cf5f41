"""How long a run takes over a network on paper: its schedule walked with clocks instead of parties.

A message waits for its site's work and for the line, takes its bytes over the bandwidth and the latency, and
is heard once the coordinator is free; a site goes on when it has heard what it waits for. Work is what the
parties' processors were measured to do, spread evenly over the messages that it leads to. Left out: TCP's
slow start and loss, what lines of several sites share, and writing commits to disk.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from coordinator.algorithms.cohort import Cohort
from coordinator.protocol.sizes import on_wire
from coordinator.schedule import Validate, schedule
from coordinator.specs import Run
from coordinator.traffic import Hop, hops, widths_of

HEADER: Final = 60  # bytes, about: the header of a message
COMMIT: Final = 180  # bytes: two hashes
AFTERWARDS: Final = ("verdict", "committed")  # what a round's end brings once it is validated


class Line(NamedTuple):
    """A site's connection: bytes a second each way, and seconds of latency one way."""

    up: float
    down: float
    latency: float


def seconds_over(
    run: Run, cohort: Cohort, lines: Sequence[Line], work: Sequence[float], coordinator: float
) -> float:
    """Predict the seconds until the last round is validated.

    Args:
        run: the run; a trial that patience would end goes on.
        cohort: the counts that the schedule is made from.
        lines: of each party with a client.
        work: seconds that each of them computes, in the whole run.
        coordinator: seconds that the coordinator computes.
    """
    messages, heard = list(_messages(run, cohort)), 0.0
    welcomes = [Hop("down", site, "welcome", 0) for site in range(len(lines))]
    sent = Counter(hop.site for hop in messages if hop.way == "up" and hop.kind not in AFTERWARDS)
    each = [work[site] / max(1, sent[site]) for site in range(len(lines))]
    clocks = _Clocks(lines, each, coordinator / max(1, sent.total()))
    for hop in [*welcomes, *messages]:  # the clock begins when the first Welcome leaves
        clocks.pass_(hop)
        if hop.kind not in AFTERWARDS:
            heard = clocks.here
    return heard


def _messages(run: Run, cohort: Cohort) -> Iterator[Hop]:
    widths = widths_of(run, cohort)
    for item in schedule(run, cohort.train):
        yield from hops(run, cohort, widths, item)
        if isinstance(item, Validate):  # everyone commits; nobody waits for the answer
            yield from (Hop("up", site, "committed", COMMIT) for site in range(len(run.parties)))


class _Clocks:
    """Where each party is in time, and until when each line is taken."""

    def __init__(self, lines: Sequence[Line], work: Sequence[float], coordinator: float) -> None:
        """Begin together."""
        self._lines, self._work, self._coordinator = lines, work, coordinator
        self._sites, self.here = [0.0] * len(lines), 0.0
        self._up, self._down = [0.0] * len(lines), [0.0] * len(lines)

    def pass_(self, hop: Hop) -> None:
        """Let one message pass."""
        line, site, size = self._lines[hop.site], hop.site, on_wire(HEADER) + on_wire(hop.payload)
        working = hop.kind not in AFTERWARDS
        if hop.way == "up":
            self._sites[site] += self._work[site] * working
            self._up[site] = max(self._sites[site], self._up[site]) + size / line.up
            self.here = max(self.here, self._up[site] + line.latency) + self._coordinator * working
        else:
            self._down[site] = max(self.here, self._down[site]) + size / line.down
            self._sites[site] = max(self._sites[site], self._down[site] + line.latency)


def line_of(up_mbps: float, down_mbps: float, latency_ms: float) -> Line:
    """Make a line from what people say of connections."""
    return Line(up_mbps * 1e6 / 8, down_mbps * 1e6 / 8, latency_ms / 1000)


def pooled(run: Run) -> bool:
    """Say whether a run has a client that is no hospital, whose connection nobody described."""
    return run.parties != run.sites


def busy(paid: Mapping[str, Mapping[str, float]], party: str, speed: float) -> float:
    """Give the seconds that a party computes at a speed, from those that its processor did here."""
    return paid[party]["cpu_seconds"] / speed
