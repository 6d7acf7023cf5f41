"""A site's side of a training run, from its prepared records to its written predictions."""

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coordinator import specs
from coordinator.algorithms.cohort import Cohort, Rows, SiteData
from coordinator.algorithms.party import Party
from coordinator.cost import Clock, costs_of
from coordinator.devices import check_device
from coordinator.driver import take_part as walk
from coordinator.errors import ConfigError, DataError, ProtocolError
from coordinator.limits import message_limit
from coordinator.model_files import About, about, write_parts
from coordinator.model_rules import not_allowed
from coordinator.protocol.messages import Done
from coordinator.protocol.seals import Sealer
from coordinator.search import Search
from coordinator.specs import POOLED, Run
from coordinator.statistics import read_statistics
from sites.client import Keys
from sites.joined import Joined
from sites.predictions import write_predictions
from sites.records import Records, load

Loaded = dict[str, Records]


def take_part(options: argparse.Namespace, keys: Keys) -> None:
    """Train, write this site's files under ``out``, and say so."""
    run = specs.read(Run, options.spec)
    torch.set_num_threads(run.threads)
    statistics = read_statistics(options.statistics)
    hospitals = run.sites if options.site == POOLED else (options.site,)
    check_allowed(run, hospitals)
    loaded = [records_of(run, statistics, hospital) for hospital in hospitals]
    cohort = Cohort.of(statistics, run.sites)
    index = -1 if options.site == POOLED else run.sites.index(options.site)
    party = Party(run, cohort, index, site_data(loaded, run.augment), Sealer(keys.secret, keys.manifest))
    check_device(party, options.site)
    channel, welcome = keys.enter(run, message_limit(run, cohort))
    if welcome.records != cohort.train:
        raise ProtocolError(
            f"the coordinator counts {welcome.records} training records, the statistics here {cohort.train}; "
            "give every party the same statistics.json"
        )
    clock = Clock()
    search = Search(lambda: (channel.line.bytes.total(), channel.line.sent))
    logits = walk(party, channel, search.see)
    costs = {**costs_of(party, clock, channel.line.bytes), **search.costs(party.kept_at[0])}
    if options.site == POOLED:
        costs = with_pooled_bytes(costs, [Path(run.prepared[hospital]) for hospital in hospitals])
    mine = about(run, options.site, statistics)
    hashes = write_results(mine, party, loaded, logits, options.state / "out")
    channel.leave(Done(hashes, costs))


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
            write_predictions(test, hospital_logits, out / "predictions" / f"{test.site}.parquet")
    return hashes


def with_pooled_bytes(costs: dict[str, float], folders: list[Path]) -> dict[str, float]:
    """Count the prepared records that had to be moved to make the pool."""
    moved = sum(
        (folder / name).stat().st_size
        for folder in folders
        for name in ("records.parquet", "series.npy", "images.npy")
        if (folder / name).exists()
    )
    return {**costs, "bytes_up": costs["bytes_up"] + moved, "bytes_up.pooling.records": float(moved)}
