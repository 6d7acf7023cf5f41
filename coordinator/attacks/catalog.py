"""Which attacks there are, what each sees, where it is from, and how far it was validated; needs no torch."""

from typing import Final, NamedTuple


class Attack(NamedTuple):
    """What an attack reads, its source, and its own result on its reference's setting.

    One that is not validated may be weak: that it finds little does not show that there is little to find.
    """

    reads: str
    source: str
    validation: str


NOT_VALIDATED: Final = "not validated"
# tests/system/test_label_leakage.py holds it to that
ON_LABEL_LEAKAGE: Final = "validated: within .05 of .95 to 1.00 (Li 2022) on studies/label_leakage.yaml"

ATTACKS: Final[dict[str, Attack]] = {
    "sent": Attack("the messages themselves", "-", "exact: it is what was sent"),
    "decoder": Attack(
        "activations of the final scoring, and the front applied to auxiliary records",
        "He 2019, black-box inversion by a decoder",
        NOT_VALIDATED,
    ),
    "clustering": Attack("activations or features of one round", "k-means, two clusters", NOT_VALIDATED),
    "gradient_norm": Attack("gradients that go up in one round", "Li 2022, norm attack", ON_LABEL_LEAKAGE),
    "gradient_cosine": Attack(
        "gradients that go up in one round", "after Li 2022, direction attack", ON_LABEL_LEAKAGE
    ),
    "loss_threshold": Attack("scores and labels of records", "Yeom 2018", NOT_VALIDATED),
    "lira_offline": Attack(
        "scores and labels of records, auxiliary records for shadow models",
        "Carlini 2022, offline",
        NOT_VALIDATED,
    ),
}
