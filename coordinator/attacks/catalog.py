"""Which attacks there are, what each sees, where it is from, and how far it was validated; needs no torch."""

from typing import Final, NamedTuple


class Attack(NamedTuple):
    """What an attack reads, its source, and its own result on its reference's setting.

    One that is not validated may be weak: that it finds little does not show that there is little to find.
    `holds_for` says how the targets begin that its validation is of, `but_for` what none of them says.
    """

    reads: str
    source: str
    validation: str
    holds_for: tuple[str, ...] = ()
    but_for: str = ""


def is_validated(name: str, target: str) -> bool:
    """Say whether an attack reached its reference on such targets, or needs none."""
    attack = ATTACKS[name]
    return target.startswith(attack.holds_for) and not (attack.but_for and attack.but_for in target)


NOT_VALIDATED: Final = "not validated"
# tests/system/test_label_leakage.py holds it to that
ON_LABEL_LEAKAGE: Final = "validated: within .05 of .95 to 1.00 (Li 2022) on studies/label_leakage.yaml"
# `make references` holds them to that
ON_HEART: Final = (
    "validated on the gradient of 8 records: within .05 of .95 (Vero 2023) on "
    "studies/attack_references.yaml, on heart disease for Adult; not on updates of several steps"
)
ON_LABELS: Final = "validated: within .05 of 1.00 (Erdogan 2022) on studies/attack_references.yaml"
ON_PSEUDO_CLIENT: Final = (
    "labels validated: within .05 of .93 to .98 (PCAT 2023) on studies/attack_references.yaml, on breast "
    "cancer for images; reconstruction not validated"
)
# takes each image's level and contrast away, which the sources' networks do not
GROUP_NORM: Final = "behind group norm"
ON_RADIOGRAPHS: Final = (
    "images validated: within 3 dB of 41.8 dB, SSIM .995 (ResNet-18 after its first convolution) on "
    "studies/attack_references.yaml, on chest radiographs; not behind group norm, nor on tables and series"
)
UPDATES: Final = (
    "a site's update of one round, or what its first turn changed of parts it hands on; beside an update one "
    "gradient of the first model"
)

ATTACKS: Final[dict[str, Attack]] = {
    "sent": Attack("the messages themselves", "-", "exact: it is what was sent", ("",)),
    "decoder": Attack(
        "activations of the final scoring, and the front applied to auxiliary records",
        "He 2019, black-box inversion by a decoder",
        ON_RADIOGRAPHS,
        ("image",),
        GROUP_NORM,
    ),
    "white_box": Attack(
        "activations of the final scoring, the front",
        "He 2019, white-box inversion",
        ON_RADIOGRAPHS,
        ("image",),
        GROUP_NORM,
    ),
    "unsplit": Attack(
        "activations of the final scoring, the front's architecture",
        "Erdogan 2022, UnSplit, model inversion",
        NOT_VALIDATED,
    ),
    "pseudo_client": Attack(
        "activations of the final scoring, the coordinator's layers, auxiliary records with labels",
        "PCAT (Gao & Zhang 2023); alignment after SDAR (Zhu 2025), by moments",
        ON_PSEUDO_CLIENT,
        ("labels",),
    ),
    "frozen_front": Attack(
        "activations of a front that it never lets learn, and the same front applied to auxiliary records",
        "the study's seed, which all parties know; gradients of zero",
        NOT_VALIDATED,
    ),
    "hijacking": Attack(
        "activations of steps whose gradient it makes up, auxiliary records",
        "FSHA (Pasquini 2021), simulated against a real front",
        NOT_VALIDATED,
    ),
    "tableak": Attack(
        UPDATES,
        "TabLeak (Vero 2023)",
        ON_HEART,
        ("table from a gradient",),
    ),
    "inverting_gradients": Attack(
        UPDATES,
        "Inverting Gradients (Geiping 2020)",
        NOT_VALIDATED,
    ),
    "dlg": Attack(
        UPDATES,
        "DLG (Zhu 2019), by Adam",
        NOT_VALIDATED,
    ),
    "clustering": Attack("activations or features of one round", "k-means, two clusters", NOT_VALIDATED),
    "gradient_norm": Attack(
        "gradients that go up in one round", "Li 2022, norm attack", ON_LABEL_LEAKAGE, ("labels",)
    ),
    "gradient_cosine": Attack(
        "gradients that go up in one round", "after Li 2022, direction attack", ON_LABEL_LEAKAGE, ("labels",)
    ),
    "simulated_gradients": Attack(
        "features that go down and gradients that come up in one round, auxiliary records with labels, the "
        "start that the study's seed draws",
        "a classifier of gradients simulated under the run's defence; the adversary that Li 2022 ask for",
        NOT_VALIDATED,
    ),
    "randomized_labels": Attack(
        "activations of one round, and the labels that randomized response sent with them",
        "Bayes, with a prior learned from such labels (Ghazi 2021)",
        NOT_VALIDATED,
    ),
    "unsplit_labels": Attack(
        "features that go down and gradients that come up in one round, the head's architecture",
        "Erdogan 2022, UnSplit, label inference",
        ON_LABELS,
        ("labels",),
    ),
    "loss_threshold": Attack("scores and labels of records", "Yeom 2018", NOT_VALIDATED),
    "isolated_average": Attack(
        "the average of a round, a site's own update in it; labels of records",
        "after Nasr 2019, isolation; loss threshold (Yeom 2018)",
        NOT_VALIDATED,
    ),
    "update_cosine": Attack(
        "what a site's first turn changed of parts it hands on; records and their labels",
        "Li, Li & Ribeiro 2023, cosine attack",
        NOT_VALIDATED,
    ),
    "lira_offline": Attack(
        "scores and labels of records, auxiliary or own records for shadow models",
        "Carlini 2022, offline",
        NOT_VALIDATED,
    ),
    "shadow": Attack(
        "scores and labels of records, auxiliary or own records for shadow models",
        "Shokri 2017, one classifier for both classes",
        NOT_VALIDATED,
    ),
    "distance_correlation": Attack(
        "inputs and activations, at the site: a measure, not an attack", "Szekely 2007", "exact: a formula"
    ),
}
