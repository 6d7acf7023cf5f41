"""The coordinator's side of a training run, from the open channel to the written results."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from coordinator import final_model, specs
from coordinator.algorithms.building import builders_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import as_read
from coordinator.attendance import participation_rows
from coordinator.commits import COMMITS, Commits, from_commit, seconds_of, spec_hash
from coordinator.cost import Clock, check_counted, costs_of
from coordinator.devices import check_device
from coordinator.driver import algorithm
from coordinator.driver import coordinate as walk
from coordinator.errors import PeerLost, PeerRemoved, ProtocolError
from coordinator.keeping import Keeping, Keeps
from coordinator.limits import ahead_limit, message_limit
from coordinator.model_files import about, weights_file, write_parts
from coordinator.outcome import write_bytes, write_json
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.keys import COORDINATOR, read_manifest, read_secret
from coordinator.protocol.messages import Done
from coordinator.protocol.signing import Signer
from coordinator.schedule import Item, Validate
from coordinator.search import Search
from coordinator.server.committing import (
    INTERRUPTIONS,
    CoordinatorCommits,
    Interruptions,
    next_generation,
)
from coordinator.server.done import check_done
from coordinator.server.events import say, still_waiting
from coordinator.server.heads import Heads
from coordinator.server.progress import Progress
from coordinator.server.status import Status
from coordinator.specs import Away, Run, run_digest
from coordinator.statistics import read_statistics
from coordinator.walking import changed, keeps_apart, within_trial
from coordinator.wire import WIRE, Recorder

HEADS, HISTORY = "heads.jsonl", "history.jsonl"  # in the state folder: what is old of both


def coordinate(options: argparse.Namespace, open_channel: Callable[..., CoordinatorChannel]) -> None:
    """Coordinate a run and write its results under ``out``; a party that is lost is waited for."""
    run, statistics = specs.read(Run, options.spec), read_statistics(options.statistics)
    torch.set_num_threads(run.threads)
    cohort = Cohort.of(statistics, run.sites)
    check_device(Party(run, cohort), COORDINATOR)
    check_counted(builders_of(run, cohort.shape), cohort.shape)
    channel = open_channel(run, message_limit(run, cohort), ahead_limit(run, cohort))
    signer = Signer(
        COORDINATOR, read_secret(options.secret), partial(read_manifest, options.manifest), run_digest(run)
    )
    work = Work(run, statistics, cohort, channel, options.state, Heads(signer, options.state / HEADS))
    patient = run.on_loss.policy != "abort"
    work.status.tell("waiting", list(channel.sites))
    work.admit(patient=patient)
    back = list(channel.hellos)
    while True:
        try:
            work.see_through(back)
            break
        except Returned as returned:
            back = returned.sites
        except (PeerLost, ProtocolError) as lost:
            if not patient or not work.may_go_on(lost):
                raise
            say(event="note", text=f"{lost}; waiting")
            work.status.tell("waiting", channel.lost())
            back = channel.readmit(work.waiting, seconds_of(run.on_loss), work.enough)
    channel.close()
    say(event="done", seconds=work.progress.seconds())


class Returned(Exception):
    """Sites without which the run went on are here again, at the beginning of a round."""

    def __init__(self, sites: list[str]) -> None:
        """Take their names."""
        super().__init__(", ".join(sites))
        self.sites = sites


class Work:
    """A run at the coordinator: everything that goes back to a commit when a party was lost."""

    def __init__(
        self,
        run: Run,
        statistics: dict[str, Any],
        cohort: Cohort,
        channel: CoordinatorChannel,
        state: Path,
        heads: Heads,
    ) -> None:
        """Begin nothing yet."""
        self._run, self._statistics, self._cohort, self._channel = run, statistics, cohort, channel
        self._state, self._heads, self._interruptions = state, heads, Interruptions(state)
        self._recorder = Recorder(run.record_round, len(run.training.learning_rates))
        if run.record_round is not None:
            channel.listener = as_read(run, cohort, self._recorder.hear)
        self.progress, self.status = (
            Progress(run, cohort, channel, state / HISTORY),
            Status(state, run, channel),
        )
        self._begun = self._round_is_over = False
        channel.entrance.note = lambda text: say(event="note", text=text)
        self._holders: set[str] = set()  # of the sites' parts as they were at the last commit
        self._clock = Clock(lambda: channel.waited)
        self._search = Search(lambda: (channel.lines.counted().total(), channel.lines.heard()))

    def waiting(self, absent: list[str]) -> None:
        """Say who is waited for."""
        still_waiting(absent)
        self.status.tell("waiting", absent)

    def admit(self, *, patient: bool) -> None:
        """Wait for the sites, and take over the commits of an earlier attempt."""
        run, commits = self._run, Commits(self._state / COMMITS, spec_hash(self._run, self._statistics))
        seconds = None
        if run.on_loss.policy == "continue":
            seconds, away = seconds_of(run.on_loss), newest_away(commits)
            self._holders = holders(run, away)
            self._channel.expect_not(run.sites[index] for index in (away[-1][2] if away else ()))
        self._channel.admit(self.waiting, again=patient, seconds=seconds, enough=self.enough)
        self.progress.begin()
        kept: dict[str, Keeps] = {
            "lines": self._channel.lines,
            "progress": self.progress,
            "clock": self._clock,
            "search": self._search,
            "wire": self._recorder,
            "heads": self._heads,
        }
        self._keeping = Keeping(commits, kept)
        self._commits = CoordinatorCommits(
            self._keeping, self._channel, self._heads, self._made, meanwhile=run.on_loss.policy != "continue"
        )  # who comes back is let in at a commit
        self._channel.entrance.unfit = self._commits.unfit

    def may_go_on(self, lost: PeerLost | ProtocolError) -> bool:
        """Say whether what was lost may come back, or be done without."""
        if isinstance(lost, ProtocolError):
            return self._channel.refuse(lost)
        return self._run.on_loss.policy == "continue" or not isinstance(lost, PeerRemoved)

    def enough(self, here: list[str]) -> bool:
        """Say whether these sites can go on without the others."""
        on_loss = self._run.on_loss
        if on_loss.policy != "continue" or len(here) < (on_loss.at_least or 0):
            return False
        return not self._holders or bool(self._holders & set(here))

    def see_through(self, back: list[str]) -> None:
        """Go on from the last commit that all who are here hold, to the written results.

        Args:
            back: the sites that have come, or come back.
        """
        if self._run.on_loss.policy == "continue":
            self._turn_away_who_cannot()
        number, generation = self._commits.choose(), next_generation(self._state)
        own = self._commits.rewind(number)
        self._holders = holders(self._run, self._commits.away) if number >= 0 else set()
        away = self._now_away()
        if number >= 0 or self._begun:
            self._interruptions.note(back, number, generation)
            say(event="note", text=f"{', '.join(back)} here; all {from_commit(number)}")
        elif not self._begun:
            self._interruptions.forget()
        self._begun = True
        self.status.tell("training", self._channel.away(), commit=number, generation=generation)
        self._channel.welcome(self._cohort.train, own, generation, away)
        party = Party(self._run, self._cohort, away=away)
        walk(party, self._channel, self._watch, self._commits)
        self._commits.finish()
        self._hand_in(party)

    def _now_away(self) -> Away:
        """Add who is away now to what was so until the commit; where nobody may be, it is as recorded."""
        run, channel = self._run, self._channel
        if run.on_loss.policy != "continue":
            self._commits.away = run.away
            return run.away
        sites = tuple(index for index, site in enumerate(channel.sites) if site not in channel.hellos)
        at = within_trial(run, self._cohort.train, self._keeping.start() + 1)
        self._commits.away = changed(self._commits.away, at, sites)
        return self._commits.away

    def _turn_away_who_cannot(self) -> None:
        """Go on without a site whose state is lost.

        Raises:
            PeerLost: too few are left.
        """
        for site in list(self._channel.hellos):
            if why := self._commits.cannot_go_on(site):
                self._channel.turn_away(site, why)
        if not self.enough(here := sorted(self._channel.hellos)):
            raise PeerLost(f"{', '.join(here) or 'nobody'} alone cannot go on; see the log of the others")

    def _watch(self, item: Item, party: Party) -> None:
        self._commits.look()
        self.progress.see(item, party)
        self._search.see(item, party)
        self._round_is_over = isinstance(item, Validate)
        if isinstance(item, Validate):
            away, outside = self._channel.away(), self.progress.outside()
            self.status.tell("training", away, trial=item.trial, round=item.round + 1, outside=outside)

    def _made(self, number: int) -> None:
        self.status.tell("training", self._channel.away(), commit=number)
        self._holders = holders(self._run, self._commits.away)
        if self._round_is_over and (back := self._channel.knocking()):
            for site in back:
                if why := self._commits.cannot_go_on(site):
                    self._channel.turn_away(site, why)
            if back := self._channel.knocking():
                raise Returned(back)

    def _hand_in(self, party: Party) -> None:
        run, out = self._run, self._state / "out"
        costs = {
            **costs_of(party, self._clock, self._channel.lines.sizes()),
            **self._search.costs(party.best_at[0]),
            "commit_seconds": self._keeping.seconds,
        }
        hashes = write_parts(
            party.parts, COORDINATOR, out / "model", about(run, COORDINATOR, self._statistics)
        )
        self._recorder.write(self._state / WIRE)  # beside out/, whose files alone become results
        done = self._channel.finish()
        at_sites, _ = algorithm(run.algorithm).parts_of(run, self._cohort.shape)
        present = dict(zip(self._channel.spoken_to(), done, strict=True))
        for site, each in present.items():
            check_done(site, each, at_sites)
        everyone = {COORDINATOR: Done(hashes, costs), **present}
        write_results(run, self._statistics, out, list(self.progress.history), everyone, party)
        write_bytes(out / INTERRUPTIONS, self._interruptions.lines())
        write_json(out / "ledgers.json", self._heads.by_site())
        write_json(out / "receipts.json", {"spec": run_digest(run), "commits": list(self._heads.rows)})
        self._channel.dismiss()


def newest_away(commits: Commits) -> Away:
    """Give who was away as of the newest commit."""
    return commits.read(max(commits.held())).extra["away"] if commits.held() else ()


def holders(run: Run, away: Away) -> set[str]:
    """Name the sites that have what all have in common, as of a commit; empty: that is nothing."""
    gone = away[-1][2] if away else ()
    return set() if keeps_apart(run) else {site for index, site in enumerate(run.sites) if index not in gone}


def write_results(
    run: Run, statistics: dict[str, Any], out: Path, history: list[dict[str, Any]], done: dict[str, Done],
    party: Party,
) -> None:  # fmt: skip
    """Write the run's files: who holds which part, hashes, history, participation and costs."""
    hashes = {(party, part): value for party, each in done.items() for part, value in each.hashes.items()}
    walked = list(dict.fromkeys((row["trial"], row["round"]) for row in history))  # not what was left out
    costs = {party: each.costs for party, each in done.items()}
    write_json(out / "arithmetic.json", arithmetic(run))
    final_model.write(final_model.describe(run, statistics, hashes), out)
    write_bytes(out / "weights.sha256", weights_file(hashes).encode())
    write_bytes(out / "history.jsonl", _lines(history))
    rows = participation_rows(run, walked, party.cohort.train, party.away)
    write_bytes(out / "participation.jsonl", _lines(rows))
    write_bytes(out / "costs.json", json.dumps(costs, indent=1).encode())


def arithmetic(run: Run) -> dict[str, Any]:
    """Say what the equality of two runs' bits depends on, beside the spec."""
    return {
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads_per_process": run.threads,
        "precision": run.training.precision,
        "memory_format": run.training.memory_format,
        "devices": run.devices or "cpu",
        "optimizer": f"{run.training.optimizer}, fused",
    }


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
