"""``python -m sites prepare``: one site's raw files to typed records with frozen roles."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from coordinator import specs
from coordinator.errors import ConfigError, DataError
from coordinator.folders import replaced
from coordinator.loaders import classes_of, is_dealt
from coordinator.specs import Preparation
from sites import prepared, quarantine
from sites.cohort import demographics, role_counts, unsaid, warnings_about, without_few
from sites.container import check_container
from sites.datasets import dataset
from sites.leak_guard import check_times
from sites.limits import within
from sites.modalities import decoded, series_of, without
from sites.prepared import PRESENT, ImageShape, Prepared, SeriesShape, Summary
from sites.profile import of_classes, profile
from sites.reading import SOURCE_TEST, Reading, Rejected
from sites.split import check_disjoint, roles_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--spec", type=Path, required=True, help="the preparation's spec, written by the plan"
    )
    parser.add_argument("--input", type=Path, required=True, help="the site's raw file or folder")
    parser.add_argument(
        "--out", type=Path, help="folder to write; by default where this site's runs look for it, below here"
    )


def run(options: argparse.Namespace) -> int:
    """Prepare one site, and say how many records it has."""
    spec = specs.read(Preparation, options.spec)
    check_container(spec.site.name)
    out = options.out or _looked_for(spec)
    with replaced(out) as folder:
        ready, rejected = prepare(spec, options.input, folder)
        prepared.fill(folder, ready, rejected)
    found = ready.summary
    print(
        f"prepared {found.source} at {found.site}: {found.records} records of {found.patients} patients, "
        f"{_outcomes(ready)}, {len(rejected)} quarantined: {out}"
    )
    for warning in found.warnings:
        print(f"warning: {found.site}: {warning}")
    return 0


def _outcomes(ready: Prepared) -> str:
    labels, classes = ready.frame["label"].to_numpy(dtype=np.int64), ready.summary.classes
    if not classes:
        return f"{labels.sum()} with the outcome"
    counts = np.bincount(labels, minlength=len(classes))
    return ", ".join(f"{count} {name}" for name, count in zip(classes, counts, strict=True))


def _looked_for(spec: Preparation) -> Path:
    if is_dealt(spec.data):
        raise ConfigError("--out is missing: the records were dealt, and only the plan knows their folder")
    return Path(specs.prepared_folder(spec))


def prepare(spec: Preparation, path: Path, folder: Path | None = None) -> tuple[Prepared, list[Rejected]]:
    """Read, quarantine, number, and give every patient a role; images are streamed into the folder.

    Raises:
        DataError: as `prepare_with_ids`.
    """
    ready, _, rejected = prepare_with_ids(spec, path, folder)
    return ready, rejected


def prepare_with_ids(
    spec: Preparation, path: Path, folder: Path | None = None, *, new: bool = False
) -> tuple[Prepared, pd.Series, list[Rejected]]:
    """Prepare, and give each record's id at the hospital too, in the order of the records.

    New records are to be predicted: their outcome is not read, where the source's loader can do without.

    Raises:
        DataError: the input cannot be used as a whole, too few patients are left, or a feature was
            recorded after the time of prediction.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder for site '{spec.site.name}'; check the path")
    loader = dataset(spec.data.source)
    read = getattr(loader, "read_new", loader.read) if new else loader.read
    reading = without(spec, read(path, spec.data, spec.site))
    check_times(reading, str(path))
    reading, outside = within(reading)
    frame, rejected = _usable(spec, reading)
    images, kept, found = decoded(reading.images, frame, folder)
    rejected += found
    frame = frame[kept].reset_index(drop=True)
    _check_size(spec, path, frame, rejected)
    records = _records(spec, frame, reading)
    check_disjoint(records["patient"].to_numpy(), records["role"].to_numpy(), str(path))
    summary = _summary(spec, reading, frame, records, rejected, outside)
    return Prepared(summary, records, series_of(reading, frame), images), frame["record_id"], rejected


def _usable(spec: Preparation, reading: Reading) -> tuple[pd.DataFrame, list[Rejected]]:
    """Take unusable rows out, and order the rest by id: the file's order changes no number and no role."""
    names = [feature.name for feature in reading.features]
    frame, rejected = reading.frame.assign(place=np.arange(len(reading.frame))), list(reading.rejected)
    if spec.data.missing == "quarantine":
        frame, found = quarantine.without_incomplete(frame, names)
        rejected += found
    frame, found = quarantine.without_duplicates(frame, names)
    rejected += found
    if reading.series is not None:
        measured = np.asarray(np.isfinite(reading.series.values).any(axis=(1, 2)))
        frame["with_series"] = measured[frame["place"].to_numpy(dtype=np.int64)]
    frame = frame.sort_values(["patient_id", "record_id"], kind="stable")
    return frame.reset_index(drop=True), rejected


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


def _records(spec: Preparation, frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    patients = frame["patient_id"].factorize()[0].astype(np.int64)
    labels = frame["label"].to_numpy(dtype=np.int64)
    records = pd.DataFrame({"record": np.arange(len(frame)), "patient": patients, "label": labels})
    tests = frame[SOURCE_TEST].to_numpy(dtype=bool) if SOURCE_TEST in frame else None
    records["role"] = roles_of(spec, patients, labels, tests).astype(object)
    for modality in spec.modalities:
        if modality in PRESENT:
            records[PRESENT[modality]] = frame[PRESENT[modality]].astype(bool)
    for feature in reading.features:
        kind = "float64" if feature.kind == "numeric" else "string"
        records[feature.name] = frame[feature.name].astype(kind)
    return records


def _summary(
    spec: Preparation,
    reading: Reading,
    frame: pd.DataFrame,
    records: pd.DataFrame,
    rejected: list[Rejected],
    outside: dict[str, int],
) -> Summary:
    roles, series, images = role_counts(records), reading.series, reading.images
    classes = classes_of(spec.data)
    told, events = unsaid(roles) if classes else without_few(roles, records, spec.min_cell)
    return Summary(
        format=spec.format,
        site=spec.site.name,
        title=spec.site.title,
        source=spec.data.source,
        modalities=spec.modalities,
        features=reading.features,
        series=series
        and SeriesShape(
            steps=series.values.shape[1], step_hours=series.step_hours, variables=series.variables
        ),
        image=images and ImageShape(shape=images.shape, dtype=images.dtype),
        records=len(records),
        patients=int(records["patient"].nunique()),
        events=events,
        classes=classes,
        roles=told,
        quarantined=quarantine.counts(rejected),
        outside=outside,
        profile=(*of_classes(spec.data, frame, spec.min_cell), *profile(reading, frame, spec.min_cell)),
        warnings=warnings_about(told if classes else roles),
        age=reading.age,
        sex=reading.sex,
        **demographics(frame, reading.age, reading.sex, spec.min_cell),
    )
