"""``python -m sites prepare``: one site's raw files to typed records with frozen roles."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from coordinator import specs
from coordinator.errors import DataError
from coordinator.specs import Preparation
from sites import prepared, quarantine
from sites.cohort import demographics, role_counts, warnings_about
from sites.datasets import dataset
from sites.prepared import Prepared, Summary
from sites.reading import Reading, Rejected
from sites.split import assign_roles, check_disjoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--spec", type=Path, required=True, help="the preparation's spec, written by the plan"
    )
    parser.add_argument("--input", type=Path, required=True, help="the site's raw file or folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(options: argparse.Namespace) -> int:
    """Prepare one site, and say how many records it has."""
    spec = specs.read(Preparation, options.spec)
    ready, rejected = prepare(spec, options.input)
    prepared.write(options.out, ready, rejected)
    found = ready.summary
    print(
        f"prepared {found.source} at {found.site}: {found.records} records of {found.patients} patients, "
        f"{found.events} with the outcome, {len(rejected)} quarantined: {options.out}"
    )
    for warning in found.warnings:
        print(f"warning: {found.site}: {warning}")
    return 0


def prepare(spec: Preparation, path: Path) -> tuple[Prepared, list[Rejected]]:
    """Read, quarantine, number, and give every patient a role.

    Raises:
        DataError: the input cannot be used as a whole, or too few patients are left.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder for site '{spec.site.name}'; check the path")
    reading = dataset(spec.data.source).read(path, spec.data, spec.site)
    frame, images, rejected = _usable(spec, reading)
    _check_size(spec, path, frame, rejected)
    frame, images = _in_order(frame, images)
    records = _records(spec, frame, reading)
    check_disjoint(records["patient"].to_numpy(), records["role"].to_numpy(), str(path))
    return Prepared(_summary(spec, reading, frame, records, rejected), records, images), rejected


def _usable(spec: Preparation, reading: Reading) -> tuple[pd.DataFrame, np.ndarray | None, list[Rejected]]:
    names = [feature.name for feature in reading.features]
    frame, rejected = reading.frame.assign(place=np.arange(len(reading.frame))), list(reading.rejected)
    if spec.data.missing == "quarantine":
        frame, found = quarantine.without_incomplete(frame, names)
        rejected += found
    frame, found = quarantine.without_duplicates(frame, names)
    rejected += found
    images = None if reading.images is None else reading.images[frame["place"].to_numpy(dtype=np.int64)]
    return frame.drop(columns="place"), images, rejected


def _check_size(spec: Preparation, path: Path, frame: pd.DataFrame, rejected: list[Rejected]) -> None:
    patients = frame["patient_id"].nunique()
    if patients >= spec.min_patients:
        return
    reasons = "; ".join(f"{count} x {reason}" for reason, count in quarantine.counts(rejected).items())
    first = min(rejected, default=None)
    where = f", first in {first.file} row {first.row}" if first else ""
    raise DataError(
        f"{path}: site '{spec.site.name}' has {patients} usable patients, at least {spec.min_patients} are "
        f"needed (min_patients); {len(rejected)} rows or files quarantined ({reasons or 'none'}{where}); "
        "correct the file, or leave the site out of the task"
    )


def _in_order(frame: pd.DataFrame, images: np.ndarray | None) -> tuple[pd.DataFrame, np.ndarray | None]:
    # by id, so that the order of the hospital's file changes neither a number nor a role
    frame = frame.sort_values(["patient_id", "record_id"], kind="stable")
    order = frame.index.to_numpy(dtype=np.int64)
    return frame.reset_index(drop=True), None if images is None else images[order]


def _records(spec: Preparation, frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    patients = frame["patient_id"].factorize()[0].astype(np.int64)
    labels = frame["label"].to_numpy(dtype=np.int64)
    records = pd.DataFrame({"record": np.arange(len(frame)), "patient": patients, "label": labels})
    records["role"] = assign_roles(patients, labels, spec.split, spec.split_seed, spec.site.name).astype(
        object
    )
    for feature in reading.features:
        kind = "float64" if feature.kind == "numeric" else "string"
        records[feature.name] = frame[feature.name].astype(kind)
    return records


def _summary(
    spec: Preparation, reading: Reading, frame: pd.DataFrame, records: pd.DataFrame, rejected: list[Rejected]
) -> Summary:
    roles = role_counts(records)
    return Summary(
        format=spec.format,
        site=spec.site.name,
        title=spec.site.title,
        source=spec.data.source,
        reads=spec.reads,
        features=reading.features,
        records=len(records),
        patients=int(records["patient"].nunique()),
        events=int(records["label"].sum()),
        roles=roles,
        quarantined=quarantine.counts(rejected),
        warnings=warnings_about(roles),
        **demographics(frame, reading.age, reading.sex),
    )
