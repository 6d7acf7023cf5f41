"""What a quantity can be in an adult on intensive care at all: a number outside was mistyped or misread.

The upper ends follow the ranges that MIMIC-Extract publishes (Wang 2020, resources/variable_ranges.csv),
rounded, and narrowed where its own exceed what a living patient or the method of measurement can give;
where it has none, and for most lower ends, they are chosen by us, wide of what is merely rare. A pressure,
rate or saturation near 0 is a sensor that fell off. Keys are the names and units of the hourly grids
(ricu, Bennett 2023); no number here comes from the data.
"""

from typing import Final

LIMITS: Final[dict[str, tuple[float, float]]] = {
    # at the bedside
    "hr": (10, 350),  # beats per minute
    "sbp": (20, 375),  # mm Hg
    "dbp": (5, 300),  # mm Hg
    "map": (10, 330),  # mm Hg
    "resp": (0, 120),  # breaths per minute
    "o2sat": (20, 100),  # %
    "temp": (25, 45),  # degrees Celsius
    "fio2": (20, 100),  # %
    "gcs": (3, 15),  # points
    "urine": (0, 5000),  # ml in an hour
    # blood gases
    "ph": (6.3, 8.4),
    "pco2": (5, 220),  # mm Hg
    "po2": (10, 770),  # mm Hg
    "be": (-50, 50),  # mmol/l
    "bicar": (1, 66),  # mmol/l
    "lact": (0.05, 33),  # mmol/l
    "methb": (0, 100),  # %
    # electrolytes
    "na": (80, 225),  # mmol/l
    "k": (0.5, 15),  # mmol/l
    "cl": (50, 200),  # mmol/l
    "ca": (1, 25),  # mg/dl
    "cai": (0.1, 5),  # mmol/l
    "mg": (0.1, 20),  # mg/dl
    "phos": (0.1, 22),  # mg/dl
    # kidney, liver, nutrition
    "bun": (0.5, 275),  # mg/dl
    "crea": (0.05, 66),  # mg/dl
    "glu": (5, 2200),  # mg/dl
    "alb": (0.2, 10),  # g/dl
    "alp": (1, 4000),  # U/l
    "alt": (1, 20_000),  # U/l
    "ast": (1, 22_000),  # U/l
    "bili": (0, 66),  # mg/dl
    "bili_dir": (0, 66),  # mg/dl
    "cholesterol": (10, 1500),  # mg/dl
    "crp": (0, 1000),  # mg/l
    # heart muscle
    "ck": (1, 200_000),  # U/l
    "ckmb": (0, 2000),  # ng/ml
    "tnt": (0, 50),  # ng/ml
    "tni": (0, 575),  # ng/ml
    # blood cells and clotting
    "hgb": (1, 30),  # g/dl
    "hct": (3, 75),  # %
    "plt": (1, 2500),  # thousand per microlitre
    "wbc": (0, 1000),  # thousand per microlitre
    "bnd": (0, 100),  # %
    "neut": (0, 100),  # %
    "lymph": (0, 100),  # %
    "mch": (5, 60),  # pg
    "mchc": (10, 50),  # g/dl
    "mcv": (30, 180),  # fl
    "inr_pt": (0.3, 30),
    "ptt": (5, 400),  # seconds
    "fgn": (10, 2000),  # mg/dl
    # the patient
    "age": (0, 120),  # years
    "height": (100, 250),  # cm
    "weight": (20, 400),  # kg
}
