"""What is measured and diagnosed in the synthetic network, and what its hospitals call it.

No two hospitals name a diagnosis, a test or a unit alike; the loader's vocabulary knows all their words. The
limits of a measure are what a living patient, or the device, can show; they are no patient's extremes.
"""

from typing import Final, NamedTuple

from sites.reading import Feature

SYSTEMS: Final = ("icd10", "icd9", "words", "coarse")  # of codes, in the order of the tuples below
CONDITIONS: Final[dict[str, tuple[str, str, str, str]]] = {
    "heart_failure": ("I50.9", "428.0", "heart failure", "I50"),
    "copd": ("J44.9", "496", "chronic obstructive pulmonary disease", "J40-J47"),
    "diabetes": ("E11.9", "250.00", "type 2 diabetes", "E08-E13"),
    "renal_failure": ("N18.9", "585.9", "chronic kidney disease", "N17-N19"),
}
# written after discharge, and what is to be predicted: known words, but never an input
DISCHARGE: Final = ("J18.9", "486", "pneumonia", "J09-J18")


class Unit(NamedTuple):
    """A unit's name, and the way from it to the one used here: scale * value + offset."""

    name: str
    scale: float = 1.0
    offset: float = 0.0


class Measure(NamedTuple):
    """A laboratory test or vital sign: its limits, its words by system, its units (SI, conventional)."""

    name: str
    low: float
    high: float
    words: tuple[str, str, str, str]
    units: tuple[Unit, Unit]

    @property
    def feature(self) -> Feature:
        """Describe it as an input."""
        return Feature(name=self.name, kind="numeric", low=self.low, high=self.high)


def _measure(name: str, low: float, high: float, words: str, *units: Unit) -> Measure:
    loinc, short, long = words.split("|")
    return Measure(name, low, high, (loinc, short, long, short), (units[0], units[-1]))


LABS: Final = (
    _measure("crp", 0, 1000, "1988-5|CRP|C-reactive protein", Unit("mg/L"), Unit("mg/dL", 10)),
    _measure("white_cells", 0, 500, "6690-2|WBC|Leukocytes", Unit("10*9/L"), Unit("/uL", 0.001)),
    _measure("lactate", 0, 40, "2524-7|LACT|Lactate", Unit("mmol/L"), Unit("mg/dL", 0.111)),
    _measure("creatinine", 0, 3000, "2160-0|CREA|Creatinine", Unit("umol/L"), Unit("mg/dL", 88.42)),
)
VITALS: Final = (
    _measure("heart_rate", 0, 350, "8867-4|HR|Pulse", Unit("/min")),
    _measure("respiratory_rate", 0, 120, "9279-1|RR|Respiratory rate", Unit("/min")),
    _measure("temperature", 20, 46, "8310-5|TEMP|Temperature", Unit("Cel"), Unit("[degF]", 5 / 9, -160 / 9)),
    _measure("oxygen_saturation", 0, 100, "59408-5|SpO2|Oxygen saturation", Unit("%")),
    _measure("systolic_pressure", 0, 400, "8480-6|SBP|Systolic blood pressure", Unit("mm[Hg]")),
)


class Practice(NamedTuple):
    """How a hospital records: its code system, conventional units or SI, and what it leaves out.

    `watched` is the share of hours in which a vital sign is written down, `no_image` and `no_vitals` the
    shares of stays without any, `older` how many years its patients are older than elsewhere.
    """

    system: int
    conventional: bool
    watched: float
    no_image: float
    no_vitals: float
    older: float


PRACTICES: Final = (
    Practice(0, False, 0.85, 0.05, 0.03, 0),
    Practice(1, True, 0.45, 0.15, 0.10, 5),
    Practice(2, False, 0.60, 0.10, 0.06, -4),
    Practice(3, True, 0.30, 0.20, 0.15, 2),
)


def practice_of(place: int) -> Practice:
    """Give the practice of the hospital at this place of the study's order; from the fifth on they repeat."""
    return PRACTICES[place % len(PRACTICES)]


def vocabulary(measures: tuple[Measure, ...]) -> dict[str, str]:
    """Map every hospital's word for a measure, in lower case, to its name here."""
    return {word.lower(): each.name for each in measures for word in each.words}


def diagnoses() -> dict[str, str]:
    """Map every hospital's code, as `sites.tables.choices` reads it, to the condition's name here."""
    codes = {**CONDITIONS, "": DISCHARGE}
    return {word.lower().removesuffix(".0"): name for name, words in codes.items() for word in words}
