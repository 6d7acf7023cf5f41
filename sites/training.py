"""A site's side of a training run, from its prepared records to its written predictions."""

import argparse
import hashlib
import sys
from collections.abc import Iterable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coordinator.algorithms.cohort import Cohort, Rows, SiteData
from coordinator.algorithms.party import Party
from coordinator.code import code_hash
from coordinator.commits import COMMITS, Commits, from_commit, seconds_of, spec_hash
from coordinator.cost import Clock, costs_of
from coordinator.devices import check_device
from coordinator.driver import take_part as walk
from coordinator.errors import ConfigError, DataError, PeerLost, ProtocolError
from coordinator.keeping import Keeping, Keeps
from coordinator.limits import message_limit
from coordinator.model_files import About, about, write_parts
from coordinator.model_rules import not_allowed
from coordinator.privacy.guard import Guard
from coordinator.protocol.messages import Done, Welcome
from coordinator.protocol.site_channel import Rewound
from coordinator.protocol.sizes import COUNTS
from coordinator.search import Search
from coordinator.specs import POOLED, Run, run_digest
from coordinator.statistics import read_statistics
from sites import kept_scores
from sites.client import Keys
from sites.committing import SiteCommits
from sites.joined import Joined
from sites.predictions import scores_of, write_predictions
from sites.protecting import check_first_round, guard_for, tell
from sites.records import Records, load
from sites.visits import visits_of

Loaded = dict[str, Records]
POOLING = ".pooling.records"
HASHED_BYTES = 64 * 1024 * 1024


def take_part(options: argparse.Namespace, keys: Keys) -> None:
    """Train, write this site's files under ``out``, and say so; a lost coordinator is waited for."""
    run = keys.read(Run)
    torch.set_num_threads(run.threads)
    statistics = read_statistics(options.statistics)
    hospitals = run.sites if options.site == POOLED else (options.site,)
    check_allowed(run, hospitals)
    work = Work(run, statistics, options, keys, [records_of(run, statistics, each) for each in hospitals])
    patient, again = run.on_loss.policy != "abort", False
    welcome = work.enter(again=False)
    while True:
        try:
            work.see_through(welcome, again=again)
            return
        except Rewound as told:
            welcome = told.welcome
        except PeerLost as lost:
            if not patient:
                raise
            print(f"{options.site}: {lost}; waiting for it", file=sys.stderr, flush=True)
            welcome = work.enter(again=True)
        again = True
        print(f"{options.site}: {from_commit(welcome.commit)}", file=sys.stderr, flush=True)


class Work:
    """A run at a site: everything that goes back to a commit when a party was lost."""

    def __init__(
        self,
        run: Run,
        statistics: dict[str, Any],
        options: argparse.Namespace,
        keys: Keys,
        loaded: list[Loaded],
    ) -> None:
        """Open the channel, and take over the commits of an earlier attempt."""
        self._run, self._statistics, self._site, self._keys = run, statistics, options.site, keys
        self._state, self._loaded = options.state, loaded
        kept_scores.forget(self._state)
        self._cohort, self._data = Cohort.of(statistics, run.sites), site_data(loaded, run.augment)
        visits = visits_of(run, self._cohort, self._site)
        self._channel, gate = keys.open(run, message_limit(run, self._cohort), visits)
        self._guard = self._guarded()
        if run.on_loss.policy != "abort":  # the coordinator may be at work when it should answer
            self._channel.resume_seconds = seconds_of(run.on_loss) or inf
        check_device(self._party(), self._site)
        line = self._channel.line
        self._clock = Clock(lambda: self._channel.waited)
        self._search = Search(lambda: (line.bytes.total(), line.released))
        own = (code_hash("sites"), *(prepared_hash(Path(folder)) for folder in self._folders()))
        self._held = Commits(options.state / COMMITS, spec_hash(run, statistics, *own))
        kept: dict[str, Keeps] = {"line": line, "clock": self._clock, "search": self._search}
        self._keeping = Keeping(self._held, kept)
        self._commits = SiteCommits(self._keeping, self._channel, gate)

    def enter(self, *, again: bool) -> Welcome:
        """Say Hello, and wait until the coordinator says Welcome.

        Raises:
            ProtocolError: it counts other records.
        """
        # under `continue` a round may be long in which nobody has the time to let this site in
        waits = self._run.on_loss.policy == "continue" or not again
        seconds = None if waits else seconds_of(self._run.on_loss)
        held = self._held.held()
        welcome = self._keys.enter(self._channel, self._run, held, again=again, seconds=seconds)
        if welcome.records != self._cohort.train:
            raise ProtocolError(
                f"the coordinator counts {welcome.records} training records, the statistics here "
                f"{self._cohort.train}; give every party the same statistics.json"
            )
        if self._run.on_loss.policy != "continue" and welcome.away != self._run.away:
            raise ProtocolError("the coordinator goes on without sites, which this run does not; see its log")
        return welcome

    def see_through(self, welcome: Welcome, *, again: bool) -> None:
        """Go on from the commit that the coordinator named, to the written results and its Bye."""
        if again or welcome.commit >= 0:
            self._commits.rewind(welcome.commit)
        else:
            self._held.rewind(-1)
        party, channel = self._party(), self._channel
        party.away = welcome.away
        logits = walk(party, channel, self._search.see, self._commits)
        if party.index in party.gone:  # as an earlier run recorded: it has no share in the model
            channel.leave(None)
            return
        costs = {
            **costs_of(party, self._clock, channel.line.counts),
            **self._search.costs(party.kept_at[0]),
            "commit_seconds": self._keeping.seconds,
        }
        if self._site == POOLED:
            costs = with_pooled_bytes(costs, self._folders())
        mine = about(self._run, self._site, self._statistics)
        keep_scores(self._run, self._loaded, logits, self._state)
        hashes = write_results(mine, party, self._loaded, logits, self._state / "out")
        if self._guard:
            tell(self._guard, self._site, self._state / "out" / "privacy" / f"{self._site}.json")
        channel.leave(Done(hashes, costs))

    def _folders(self) -> list[Path]:
        hospitals = self._run.sites if self._site == POOLED else (self._site,)
        return [Path(self._run.prepared[hospital]) for hospital in hospitals]

    def _party(self) -> Party:
        index = -1 if self._site == POOLED else self._run.sites.index(self._site)
        return Party(self._run, self._cohort, index, self._data, self._keys.sealer(), self._guard)

    def _guarded(self) -> Guard | None:
        """Make this site's guard; a pool has none, since nothing of it leaves."""
        if self._site == POOLED:
            return None
        patients = {role: records.patient for role, records in self._loaded[0].items()}
        index = self._run.sites.index(self._site)
        guard = guard_for(self._run, index, patients, self._state)
        if guard:
            check_first_round(guard, self._site)
            self._keys.reserve(self._run, guard.secret.secret)
        return guard


def check_allowed(run: Run, hospitals: Iterable[str]) -> None:
    """Refuse to import a network of the study's own that a hospital does not allow.

    Raises:
        ConfigError: its code may not run on a hospital's records.
    """
    path = run.model.path
    for hospital in hospitals:
        if path is not None and path not in run.allow_models.get(hospital, ()):
            raise ConfigError(not_allowed(hospital, path))


def records_of(run: Run, statistics: dict[str, Any], hospital: str) -> Loaded:
    """Load one hospital's records, and check that they are those that were agreed on.

    Raises:
        DataError: the counts are not those in the statistics.
    """
    folder = Path(run.prepared[hospital])
    loaded = load(folder, statistics, run.seed, run.validation, run.missing)
    for role in ("train", "validation", "test"):
        agreed, found = statistics["sites"][hospital][role], len(loaded[role].labels)
        if agreed != found:
            raise DataError(
                f"{folder}: {found} {role} records, the agreed statistics say {agreed}; "
                "agree again on the data as it is now"
            )
    return loaded


def site_data(loaded: list[Loaded], augment: tuple[str, ...] = ()) -> SiteData:
    """Put the hospitals' records together for training, and keep them apart for scoring."""
    return SiteData(
        rows_of([each["train"] for each in loaded], augment),
        tuple(rows_of([each["validation"]]) for each in loaded),
        tuple(rows_of([each["test"]]) for each in loaded),
    )


def rows_of(several: list[Records], augment: tuple[str, ...] = ()) -> Rows:
    """Give the records of one hospital, or of the pool, as what an algorithm trains on."""
    labels = torch.cat([torch.from_numpy(records.labels).clone() for records in several])
    inputs = Joined([records.inputs for records in several])
    return Rows(inputs, labels, partial(inputs.changed, augment) if augment else None)


def write_results(
    mine: About, party: Party, loaded: list[Loaded], logits: list[Tensor], out: Path
) -> dict[str, str]:
    """Write this party's parts and, if released, its predictions; give the parts' hashes."""
    hashes = write_parts(party.parts, mine.party, out / "model", mine)
    if mine.run.release == "predictions":
        for each, hospital_logits in zip(loaded, logits, strict=True):
            test = each["test"]
            path = out / "predictions" / f"{test.site}.parquet"
            write_predictions(
                test, hospital_logits, path, classes=mine.run.classes, subgroups=mine.run.subgroups
            )
    return hashes


def keep_scores(run: Run, loaded: list[Loaded], logits: list[Tensor], state: Path) -> None:
    """Keep each hospital's test scores at this party, to estimate from them later; none leaves."""
    for each, hospital_logits in zip(loaded, logits, strict=True):
        test = each["test"]
        kept = scores_of(test, hospital_logits, run.classes)
        kept_scores.keep(kept, state / kept_scores.FOLDER / f"{test.site}.parquet", run_digest(run))


def prepared_hash(folder: Path) -> str:
    """Hash what was prepared: the summary and the records, and of larger files their sizes and times."""
    total = hashlib.sha256()
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        about = path.stat()
        small = about.st_size <= HASHED_BYTES
        total.update(f"{path.name}\0{about.st_size}\0{'' if small else about.st_mtime_ns}\0".encode())
        if small:
            total.update(path.read_bytes())
    return total.hexdigest()


def with_pooled_bytes(costs: dict[str, float], folders: list[Path]) -> dict[str, float]:
    """Count the prepared records that had to be moved to make the pool, on whatever wire."""
    moved = sum(
        (folder / name).stat().st_size
        for folder in folders
        for name in ("records.parquet", "series.npy", "images.npy")
        if (folder / name).exists()
    )
    up = [f"{count}_up" for count in COUNTS]
    return (
        costs | {name: costs[name] + moved for name in up} | {f"{name}{POOLING}": float(moved) for name in up}
    )
