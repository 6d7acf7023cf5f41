"""Breast Cancer Wisconsin (Street, Wolberg, Mangasarian 1993): the 569 patients inside scikit-learn.

Thirty measures of cell nuclei from a fine needle aspirate, and the diagnosis. Dealt to sites as the CSV
file each could have exported.
"""

import csv
from pathlib import Path
from typing import Final

import numpy as np

from coordinator.config import Data, Site
from coordinator.draws import key
from coordinator.specs import Deal
from sites.partition import partition
from sites.reading import Feature, Reading
from sites.tables import choices, numbers, read_cells, reject

FILE: Final = "aspirates.csv"
MEASURES: Final = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
    "concave_points", "symmetry", "fractal_dimension",
)  # fmt: skip
# scikit-learn's own order
NAMES: Final = tuple(f"{kind}_{measure}" for kind in ("mean", "error", "worst") for measure in MEASURES)
FEATURES: Final = tuple(Feature(name=name, kind="numeric") for name in NAMES)
OUTCOMES: Final = {"benign": 0, "malignant": 1}
COLUMNS: Final = ("sample_id", "patient_id", *NAMES, "diagnosis")


def deal(spec: Deal, out: Path) -> None:
    """Write each site's patients to `out`/SITE/aspirates.csv under numbers of the site's own."""
    from sklearn.datasets import load_breast_cancer

    values, benign = load_breast_cancer(return_X_y=True)
    sites = [site.name for site in spec.sites]
    radius = values[:, NAMES.index("mean_radius")]
    hands = partition(1 - benign, sites, spec.data.partition, spec.seed, spec.data.source, shift=radius)
    for site, patients in hands.items():
        draw = np.random.default_rng(key(spec.seed, "numbers", site))
        ids = draw.choice(900_000, size=len(patients), replace=False) + 100_000
        folder = out / site
        folder.mkdir(parents=True)
        with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for number, patient in zip(ids, draw.permutation(patients), strict=True):
                diagnosis = "benign" if benign[patient] else "malignant"
                writer.writerow([f"A{number}", f"P{number}", *values[patient].tolist(), diagnosis])


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's file (or the folder that holds it).

    Raises:
        DataError: the file cannot be used as a whole.
    """
    frame, rejected = read_cells(path / FILE if path.is_dir() else path, COLUMNS)
    problems = {}
    for name in NAMES:
        frame[name], problems[f"{name}: not a number"] = numbers(frame[name])
    frame["label"], _ = choices(frame["diagnosis"], OUTCOMES)
    frame["record_id"], frame["patient_id"] = frame["sample_id"].str.strip(), frame["patient_id"].str.strip()
    problems["diagnosis: missing, or neither benign nor malignant"] = (
        frame["label"].isna().to_numpy(dtype=bool)
    )
    problems["no sample_id or patient_id"] = (
        (frame["record_id"] == "") | (frame["patient_id"] == "")
    ).to_numpy()
    frame, rejected = reject(frame.drop(columns=["sample_id", "diagnosis"]), problems, rejected)
    return Reading(frame, FEATURES, rejected=rejected)
