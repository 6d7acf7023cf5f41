"""``python -m sites predict``: the probability of the outcome for new records, by a finished study's model.

Where the model is decides how: an exported whole model (``--model``), a whole model that this site's run left
here (``--run``), or this site's layers here and the coordinator's there (``--run`` with ``--endpoint``), over
the same encrypted channel, through the same gate and ledger as training.
"""

import argparse
import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from coordinator.algorithms.cohort import Rows, shape_of
from coordinator.algorithms.party import Party
from coordinator.algorithms.prediction import ready, site_logits, whole_logits
from coordinator.driver import algorithm
from coordinator.errors import ConfigError
from coordinator.exported import opened, statistics_of
from coordinator.final_model import part_file, results_of
from coordinator.limits import message_limit
from coordinator.model_files import About, part_hash, read_parts
from coordinator.outcome import write_bytes
from coordinator.privacy.guard import TEST
from coordinator.protocol.messages import Done
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Prediction
from sites.client import Keys
from sites.new_records import Group, from_prepared, from_raw
from sites.policy import read_policy
from sites.predictions import by_class, probabilities
from sites.protecting import guard_for, tell
from sites.training import rows_of

ENDINGS = (".csv", ".parquet")
Scorer = Callable[[Rows], Tensor]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    model = parser.add_argument_group("the model")
    model.add_argument("--model", type=Path, help="a folder with an exported whole model")
    model.add_argument("--run", type=Path, help="a finished run's folder with this site's parts, with --site")
    model.add_argument("--site", help="this site's name")
    model.add_argument("--statistics", type=Path, help="the run's statistics.json, where it lies elsewhere")
    records = parser.add_argument_group("the records")
    records.add_argument("--prepared", type=Path, help="a folder of prepared records")
    records.add_argument("--input", type=Path, help="raw files of the study's source, with --spec")
    records.add_argument("--spec", type=Path, help="the preparation's spec, written by the plan")
    records.add_argument("--out", type=Path, required=True, help="the predictions, .csv or .parquet")
    split = parser.add_argument_group("a cut model, through the coordinator")
    split.add_argument("--endpoint", help="where the coordinator serves predictions")
    split.add_argument("--secret", type=Path, help="this site's key file")
    split.add_argument("--manifest", type=Path, help="every party's public keys")
    split.add_argument("--state", type=Path, help="folder for this site's ledger")
    split.add_argument("--policy", type=Path, help="this site's policy.yaml: what may leave, and how much")


def run(options: argparse.Namespace) -> int:
    """Predict, and say how many records."""
    check(options)
    frame = by_export(options) if options.model else by_parts(options)
    write(frame, options.out)
    print(f"predicted {len(frame)} records: {options.out}")
    return 0


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: naming them.
    """
    if (options.model is None) == (options.run is None):
        raise ConfigError(
            "name the model: either --model FOLDER (exported), or --run FOLDER with --site NAME"
        )
    if options.run and not options.site:
        raise ConfigError("--run needs --site: whose parts of the model they are")
    if (options.prepared is None) == (options.input is None) or (options.input is None) != (
        options.spec is None
    ):
        raise ConfigError("name the records: either --prepared FOLDER, or --input FILE with --spec FILE")
    if options.out.suffix not in ENDINGS:
        raise ConfigError(f"--out {options.out}: expected a file ending in {' or '.join(ENDINGS)}")
    needed = ("secret", "manifest", "state")
    lacking = [f"--{name}" for name in needed if getattr(options, name) is None]
    if options.endpoint and (options.model or lacking):
        what = ", ".join(lacking) or "--run and no --model: an exported model is whole"
        raise ConfigError(f"--endpoint needs {what}")


def by_export(options: argparse.Namespace) -> pd.DataFrame:
    """Predict with an exported whole model."""
    party, what = opened(options.model)
    torch.set_num_threads(what.run.threads)
    statistics = statistics_of(options.statistics or options.model, what.statistics)
    return scored(groups(options, party, statistics), partial(whole_logits, party), what.run.classes)


def by_parts(options: argparse.Namespace) -> pd.DataFrame:
    """Predict with what this site holds of a run's model, and the coordinator's part where it is cut.

    Raises:
        ConfigError: this site holds nothing, or not all and no endpoint was given.
    """
    what, party = own_parts(options)
    torch.set_num_threads(what.run.threads)
    task = results_of(options.run) / "statistics" / what.run.task / str(what.run.seed) / "statistics.json"
    statistics = statistics_of(options.statistics or task, what.statistics)
    found = groups(options, party, statistics)
    if what.run.algorithm != "split":
        return scored(found, partial(whole_logits, party), what.run.classes)
    parts = {name: part_hash(dict(part.state_dict())) for name, part in party.parts.items()}
    spec = Prediction(run=what.run, site=what.party, statistics=what.statistics, parts=parts)
    keys = Keys(options, None, read_policy(options.policy) if options.policy else None)
    channel, _ = keys.open(spec, message_limit(what.run, party.cohort))
    keys.enter(channel, spec)
    records = sum(len(each.records.labels) for each in found)
    # who asks twice is told twice: a record's place, the same in all commands, is taken for a patient
    party.guard = guard_for(what.run, party.index, {TEST: np.arange(records)}, options.state)
    frame = scored(found, partial(guarded_logits, party, channel=channel), what.run.classes)
    channel.leave(Done({}, {}))
    if party.guard:
        tell(party.guard, what.party, options.state / "privacy.json")
    return frame


def guarded_logits(party: Party, rows: Rows, channel: SiteChannel) -> Tensor:
    """Score a group of records; those of the next one are others."""
    found = site_logits(party, rows, channel)
    if party.guard:
        party.guard = replace(party.guard, first=party.guard.first + len(rows.labels))
    return found


def own_parts(options: argparse.Namespace) -> tuple[About, Party]:
    """Load this site's parts.

    Raises:
        ConfigError: there are none, they are another's, or they are no whole model and nobody has the rest.
    """
    path = options.run / part_file(options.site)
    if not path.is_file():
        raise ConfigError(
            f"{path}: not available: no such file; a site that trained no part of its own holds none of this "
            "model, and the pool holds the centralized one"
        )
    what, tensors = read_parts(path)
    if what.party != options.site:
        raise ConfigError(f"{path}: parts of '{what.party}', expected those of '{options.site}'")
    cut = what.run.algorithm == "split"
    if cut and not options.endpoint:
        raise ConfigError(
            f"{path}: '{what.run.strategy}' is cut, and the coordinator holds the rest, which never comes to "
            "a site; name the --endpoint where it serves predictions, or ask it for an export (--model)"
        )
    if options.endpoint and not cut:
        raise ConfigError(f"{path}: '{what.run.strategy}' is whole at this site; leave --endpoint out")
    return what, ready(
        what, algorithm(what.run.algorithm).parts_of(what.run, shape_of(what.input_shapes))[0], tensors
    )


def groups(options: argparse.Namespace, party: Party, statistics: dict[str, object]) -> list[Group]:
    """Read the new records."""
    if options.prepared:
        return from_prepared(options.prepared, party.run, statistics)
    return from_raw(options.input, options.spec, party.run, statistics)


def scored(found: list[Group], scorer: Scorer, classes: tuple[str, ...] = ()) -> pd.DataFrame:
    """Give record and probability, in the records' order; of several classes the probability of each."""
    frames = [
        pd.DataFrame(
            {"record": ids} | by_class(probabilities(scorer(rows_of([records]))), "probability", classes)
        )
        for ids, records in found
    ]
    return pd.concat(frames).sort_values("record", kind="stable").reset_index(drop=True)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the predictions whole or not at all."""
    if path.suffix == ".csv":
        write_bytes(path, frame.to_csv(index=False).encode())
        return
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getvalue())
