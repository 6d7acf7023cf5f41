"""UCI Heart Disease: one `processed.*.data` file per hospital (Janosi, Steinbrunn, Pfisterer, Detrano 1988).

Thirteen columns and the diagnosis, no header, `?` where missing. slope, ca and thal are left out: three of
the four hospitals hardly recorded them (FLamby, du Terrail 2022, does the same). A cholesterol of 0, which
Zurich and Basel wrote for all patients, stays as the data has it.

The files name no patient. Two lines that agree in all fourteen columns are taken for one patient's record,
entered twice: kept apart, they could be a twin in the test set of another in training.

The generic table would lose this: it asks for a header and a patient's column, which the files have not,
reads bare codes where `CODES` has words, and only sees a repeat that has a record's id.
"""

from pathlib import Path
from typing import Final

from coordinator.config import Data, Site
from sites.reading import Feature, Reading
from sites.tables import choices, numbers, read_cells, reject, repeats

COLUMNS: Final = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
    "slope", "ca", "thal", "num",
)  # fmt: skip
LEFT_OUT: Final = ("slope", "ca", "thal", "num")
CODES: Final[dict[str, dict[str, str]]] = {
    "sex": {"0": "female", "1": "male"},
    "cp": {"1": "typical_angina", "2": "atypical_angina", "3": "non_anginal", "4": "asymptomatic"},
    "fbs": {"0": "at_most_120", "1": "above_120"},
    "restecg": {"0": "normal", "1": "st_t_abnormality", "2": "hypertrophy"},
    "exang": {"0": "no", "1": "yes"},
}
# What no patient can have, chosen by us, not what is rare: the published files lie within (in brackets), the
# zeros that mean "not measured" included. A swapped column or a slipped decimal point lies outside.
LIMITS: Final[dict[str, tuple[float, float]]] = {
    "age": (0, 120),  # years [28, 77]
    "trestbps": (0, 350),  # mm Hg at rest [0, 200]
    "chol": (0, 1500),  # mg/dl [0, 603]
    "thalach": (20, 250),  # beats per minute [60, 202]
    "oldpeak": (-10, 10),  # mm of ST depression [-2.6, 6.2]
}
OUTCOMES: Final = {"0": 0, "1": 1, "2": 1, "3": 1, "4": 1}  # diseased vessels; any is disease
FEATURES: Final = tuple(
    Feature(name=name, kind="categorical")
    if name in CODES
    else Feature(name=name, kind="numeric", low=LIMITS[name][0], high=LIMITS[name][1])
    for name in COLUMNS
    if name not in LEFT_OUT
)


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one hospital's file; each row is one patient, known by its line; a repeat is quarantined.

    Raises:
        DataError: the file cannot be used as a whole.
    """
    frame, rejected = read_cells(path, COLUMNS, header=False)
    problems, repeated = {}, repeats(frame, COLUMNS)
    for feature in FEATURES:
        if feature.kind == "categorical":
            frame[feature.name], flags = choices(frame[feature.name], CODES[feature.name])
            problems[f"{feature.name}: not one of its codes"] = flags
        else:
            frame[feature.name], flags = numbers(frame[feature.name])
            problems[f"{feature.name}: not a number"] = flags
            low, high = LIMITS[feature.name]
            values = frame[feature.name].to_numpy()
            problems[f"{feature.name}: outside {low} to {high}"] = (values < low) | (values > high)
    frame["label"], _ = choices(frame["num"], OUTCOMES)
    problems["diagnosis: missing or outside 0 to 4"] = frame["label"].isna().to_numpy(dtype=bool)
    problems["duplicate row"] = repeated
    frame["record_id"] = frame["patient_id"] = [f"{row:08d}" for row in frame["row"]]
    frame, rejected = reject(frame.drop(columns=list(LEFT_OUT)), problems, rejected)
    return Reading(frame, FEATURES, rejected=rejected, age="age", sex="sex")
