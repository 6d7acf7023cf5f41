"""Synthetic chest radiographs with a soft opacity to find, written as the DICOM files of each site's scanner.

The patients are invented, the files are real: bit depth, polarity, spacing and grey curve differ by site, and
names stand in the headers as they do in hospitals.
"""

import csv
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from coordinator.config import Data, Scanner, Site
from coordinator.draws import key
from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.datasets.chest_phantom import FIELD_MM, Person, person, radiograph
from sites.datasets.dicom_files import write_radiograph
from sites.imaging import read_radiograph, resample
from sites.partition import partition
from sites.reading import PLACE, Reading, Rejected
from sites.tables import choices, read_cells, reject

LABELS: Final = "labels.csv"
OUTCOMES: Final = {"normal": 0, "opacity": 1}
PREVALENCE: Final = 0.45
REPEATS: Final = 8  # one image in so many is a patient's second


def deal(spec: Deal, out: Path) -> None:
    """Write `out`/SITE/NUMBER.dcm and `out`/SITE/labels.csv; some patients have two images."""
    draw = np.random.default_rng(key(spec.seed, "patients", spec.data.source))
    repeats = spec.data.records // REPEATS
    patients = spec.data.records - repeats
    outcomes = draw.permutation((np.arange(patients) < round(PREVALENCE * patients)).astype(np.int64))
    images = np.ones(patients, dtype=np.int64)
    images[draw.choice(patients, size=repeats, replace=False)] = 2
    sites = {site.name: site for site in spec.sites}
    hands = partition(outcomes, list(sites), spec.data.partition, spec.seed, spec.data.source)
    for name, hand in hands.items():
        people = [person(spec.seed, int(patient), bool(outcomes[patient])) for patient in hand]
        _write_site(out / name, sites[name].scanner, people, images[hand].tolist())


def _write_site(folder: Path, scanner: Scanner, people: list[Person], images: list[int]) -> None:
    folder.mkdir(parents=True)
    rows = []
    for one, count in zip(people, images, strict=True):
        for image in range(count):
            name = f"{one.patient_id}-{image + 1}.dcm"
            write_radiograph(folder / name, radiograph(one, image, scanner), scanner, one, image)
            rows.append((name, "opacity" if one.finding else "normal"))
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "finding"), *sorted(rows)])


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's folder: each row of labels.csv with the image it names.

    Raises:
        DataError: the folder or labels.csv cannot be used as a whole.
    """
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder with {LABELS} and DICOM files; check the path")
    rows, rejected = _labelled_files(path)
    kept: list[tuple[object, ...]] = []
    images = np.empty((len(rows), 1, data.pixels, data.pixels), dtype=np.float32)
    for name, label in zip(rows["image"], rows["label"], strict=True):
        try:
            found = read_radiograph(path / name)
        except DataError as reason:
            rejected.append(Rejected(name, 0, str(reason)))
            continue
        images[len(kept), 0] = resample(found.pixels, found.spacing_mm, FIELD_MM, data.pixels)
        kept.append((name, 0, found.record_id, found.patient_id, label, found.age, found.sex))
    frame = pd.DataFrame(kept, columns=[*PLACE, "age", "sex"])
    return Reading(frame, images=images[: len(kept)], rejected=rejected, age="age", sex="sex")


def _labelled_files(folder: Path) -> tuple[pd.DataFrame, list[Rejected]]:
    rows, rejected = read_cells(folder / LABELS, ("image", "finding"))
    files = {file.name for file in folder.iterdir() if file.name != LABELS}
    unlabelled = [Rejected(name, 0, f"no row in {LABELS}") for name in sorted(files - set(rows["image"]))]
    rows["label"], _ = choices(rows["finding"], OUTCOMES)
    problems = {
        "image: not in the folder": ~rows["image"].isin(files).to_numpy(),
        "image: named in several rows": rows["image"].duplicated(keep=False).to_numpy(),
        "finding: missing, or neither normal nor opacity": rows["label"].isna().to_numpy(),
    }
    rows, rejected = reject(rows, problems, rejected)
    return rows, [*rejected, *unlabelled]
