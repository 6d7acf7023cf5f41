"""Which of eICU's columns and codes are inputs, and what each can be at all.

A list of what is let in, never of what is kept out: `apachePredVar` also holds what was known at discharge
(diedinhospital, dischargelocation, var03hspxlos, visitnumber), and a new release may add to it.
"""

from typing import Final, Literal

from sites.datasets.clinical_limits import LIMITS
from sites.reading import Feature

Limits = tuple[float, float]
Summary = Literal["last", "min", "max", "mean"]

HOURS: Final = 24.0  # of prediction, after admission to the unit; the APACHE variables describe these hours
EARLIEST_MINUTES: Final = -360  # an event up to six hours before admission to the unit describes the stay
SUMMARIES: Final[tuple[Summary, ...]] = ("last", "min", "max", "mean")

# patient: what is written down at admission
STAY_NUMBERS: Final[dict[str, Limits]] = {
    "age": LIMITS["age"],  # years; over 89 is recorded as such and taken for 90
    "admissionheight": LIMITS["height"],  # cm
    "admissionweight": LIMITS["weight"],  # kg
    "hours_before_unit": (0, 8784),  # in hospital before admission to the unit; a year at most
}
STAY_WORDS: Final = ("gender", "ethnicity", "unittype", "unitadmitsource", "unitstaytype")
SEXES: Final = {"female": "female", "male": "male"}

# apacheApsVar: the worst of the first 24 hours, by APACHE IV's rules; -1 is missing
APS_NUMBERS: Final[dict[str, Limits]] = {
    "eyes": (1, 4), "motor": (1, 6), "verbal": (1, 5),  # Glasgow coma scale
    "urine": (0, 30_000),  # ml in 24 h
    "wbc": LIMITS["wbc"], "temperature": LIMITS["temp"], "respiratoryrate": LIMITS["resp"],
    "sodium": LIMITS["na"], "heartrate": LIMITS["hr"], "meanbp": LIMITS["map"], "ph": LIMITS["ph"],
    "hematocrit": LIMITS["hct"], "creatinine": LIMITS["crea"], "albumin": LIMITS["alb"],
    "pao2": LIMITS["po2"], "pco2": LIMITS["pco2"], "bun": LIMITS["bun"], "glucose": LIMITS["glu"],
    "bilirubin": LIMITS["bili"], "fio2": LIMITS["fio2"],
}  # fmt: skip
APS_FLAGS: Final = ("intubated", "vent", "dialysis", "meds")
# apachePredVar: comorbidities and treatment of the first day
PRED_FLAGS: Final = (
    "thrombolytics", "aids", "hepaticfailure", "lymphoma", "metastaticcancer", "leukemia",
    "immunosuppression", "cirrhosis", "electivesurgery", "activetx", "readmit", "ima", "midur", "ventday1",
    "oobventday1", "oobintubday1", "diabetes",
)  # fmt: skip
FLAGS: Final = {"0": "no", "1": "yes"}

# vitalAperiodic: non-invasive blood pressure
VITALS: Final[dict[str, Limits]] = {
    "noninvasivesystolic": LIMITS["sbp"], "noninvasivediastolic": LIMITS["dbp"],
    "noninvasivemean": LIMITS["map"],
}  # fmt: skip

# lab: the input's name, and what the release calls it, in the units of LIMITS
LABS: Final[dict[str, str]] = {
    "alb": "albumin", "bicar": "bicarbonate", "bili": "total bilirubin", "bun": "BUN", "ca": "calcium",
    "cl": "chloride", "crea": "creatinine", "glu": "glucose", "hgb": "Hgb", "inr_pt": "PT - INR",
    "lact": "lactate", "mg": "magnesium", "plt": "platelets x 1000", "k": "potassium", "na": "sodium",
    "wbc": "WBC x 1000", "ph": "pH", "po2": "paO2", "pco2": "paCO2",
}  # fmt: skip

# admissionDx: below this path, `Operative` or not, `Diagnosis`, the organ system, and the diagnosis
ADMISSION_PATH: Final = "admission diagnosis|All Diagnosis|"
ADMISSION_WORDS: Final = ("admission_kind", "admission_system")
_MEDICAL: Final = f"{ADMISSION_PATH}Non-operative|Diagnosis|"
_ADMISSIONS: Final[dict[str, tuple[str, ...]]] = {
    "adm_arrest": ("Cardiovascular|Cardiac arrest", "Respiratory|Arrest, respiratory"),
    "adm_bleeding": ("Gastrointestinal|Bleeding",),
    "adm_coma": ("Neurology|Coma",),
    "adm_copd": ("Respiratory|Emphysema", "Respiratory|Asthma"),
    "adm_heart_failure": ("Cardiovascular|CHF", "Cardiovascular|Shock, cardiogenic"),
    "adm_ischaemia": ("Cardiovascular|Infarction, acute myocardial", "Cardiovascular|Angina"),
    "adm_ketoacidosis": ("Metabolic/Endocrine|Diabetic",),
    "adm_overdose": ("Neurology|Overdose", "Neurology|Drug withdrawal"),
    "adm_pneumonia": ("Respiratory|Pneumonia",),
    "adm_rhythm": ("Cardiovascular|Rhythm disturbance",),
    "adm_sepsis": ("Cardiovascular|Sepsis", "Cardiovascular|Shock, septic"),
    "adm_stroke": ("Neurology|CVA", "Neurology|Hemorrhage", "Neurology|Subarachnoid"),
}

_DIAGNOSES: Final[dict[str, tuple[str, ...]]] = {
    "dx_arrest": ("cardiovascular|cardiac arrest",),
    "dx_arrhythmia": ("cardiovascular|arrhythmias",),
    "dx_coronary": ("cardiovascular|chest pain / ASHD",),
    "dx_heart_failure": ("cardiovascular|ventricular disorders",),
    "dx_shock": ("cardiovascular|shock / hypotension",),
    "dx_sepsis": (
        "cardiovascular|shock / hypotension|sepsis", "cardiovascular|shock / hypotension|septic shock",
        "infectious diseases|systemic/other infections|sepsis",
    ),
    "dx_respiratory_failure": ("pulmonary|respiratory failure",),
    "dx_pneumonia": ("pulmonary|pulmonary infections", "infectious diseases|chest/pulmonary infections"),
    "dx_airways": ("pulmonary|disorders of the airways",),
    "dx_kidney": ("renal|disorder of kidney",),
    "dx_acid_base": ("renal|disorder of acid base",),
    "dx_electrolytes": ("renal|electrolyte imbalance",),
    "dx_stroke": ("neurologic|disorders of vasculature",),
    "dx_consciousness": ("neurologic|altered mental status / pain",),
    "dx_seizures": ("neurologic|seizures",),
    "dx_liver": ("gastrointestinal|hepatic disease",),
    "dx_bleeding": ("gastrointestinal|GI bleeding / PUD",),
    "dx_blood": ("hematology",),
    "dx_cancer": ("oncology",),
    "dx_glucose": ("endocrine|glucose metabolism",),
    "dx_poisoning": ("toxicology",),
    "dx_trauma": ("burns/trauma",),
}  # fmt: skip
_ORGANS: Final = "notes/Progress Notes/Past History/Organ Systems/"
_HISTORY: Final[dict[str, str]] = {
    "hx_cancer": "Hematology/Oncology (R)",
    "hx_cirrhosis": "Gastrointestinal (R)/Cirrhosis",
    "hx_copd": "Pulmonary/COPD",
    "hx_dementia": "Neurologic/Dementia",
    "hx_heart_failure": "Cardiovascular (R)/Congestive Heart Failure",
    "hx_renal_failure": "Renal  (R)/Renal Failure",
}
_TREATMENTS: Final[dict[str, tuple[str, ...]]] = {
    "tx_antibacterials": (
        "infectious diseases|medications|therapeutic antibacterials", "pulmonary|medications|antibacterials",
    ),
    "tx_bronchodilators": ("pulmonary|medications|bronchodilator",),
    "tx_dialysis": ("renal|dialysis",),
    "tx_glucocorticoids": ("pulmonary|medications|glucocorticoid",),
    "tx_insulin": ("endocrine|glucose metabolism|insulin",),
    "tx_mask": (
        "pulmonary|ventilation and oxygenation|non-invasive ventilation",
        "pulmonary|ventilation and oxygenation|CPAP/PEEP therapy",
    ),
    "tx_oxygen": (
        "pulmonary|ventilation and oxygenation|oxygen therapy (40% to 60%)",
        "pulmonary|ventilation and oxygenation|oxygen therapy (> 60%)",
    ),
    "tx_shock": ("cardiovascular|shock|",),
    "tx_ventilation": ("pulmonary|ventilation and oxygenation|mechanical ventilation",),
}  # fmt: skip
# table: its columns of time (minutes after admission to the unit) and of the code, and per flag what a code
# that raises it begins with
CODED: Final[dict[str, tuple[str, str, dict[str, tuple[str, ...]]]]] = {
    "admissionDx": (
        "admitdxenteredoffset",
        "admitdxpath",
        {name: tuple(_MEDICAL + path for path in paths) for name, paths in _ADMISSIONS.items()},
    ),
    "diagnosis": ("diagnosisoffset", "diagnosisstring", _DIAGNOSES),
    "pastHistory": (
        "pasthistoryenteredoffset",
        "pasthistorypath",
        {name: (_ORGANS + path,) for name, path in _HISTORY.items()},
    ),
    "treatment": ("treatmentoffset", "treatmentstring", _TREATMENTS),
}


def features(*, hours: float, with_labs: bool) -> tuple[Feature, ...]:
    """List the inputs for a time of prediction; APACHE's are not known before their 24 hours are over."""
    found = [_number(name, low, high) for name, (low, high) in STAY_NUMBERS.items()]
    found += [_words(name) for name in (*STAY_WORDS, *ADMISSION_WORDS)]
    if hours >= HOURS:
        found += [_number(f"aps_{name}", low, high) for name, (low, high) in APS_NUMBERS.items()]
        found += [_words(f"aps_{name}") for name in APS_FLAGS]
        found += [_words(f"apache_{name}") for name in PRED_FLAGS]
    found += [_words(name) for _, _, flags in CODED.values() for name in flags]
    measured = VITALS | ({f"lab_{name}": LIMITS[name] for name in LABS} if with_labs else {})
    found += [
        _number(f"{name}_{what}", low, high) for name, (low, high) in measured.items() for what in SUMMARIES
    ]
    return tuple(found)


def _number(name: str, low: float, high: float) -> Feature:
    return Feature(name=name, kind="numeric", low=low, high=high)


def _words(name: str) -> Feature:
    return Feature(name=name, kind="categorical")
