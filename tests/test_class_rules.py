"""What a study may say of an outcome of several classes, and what it may not have beside it."""

import re
import shutil

import pytest

from tests.test_column_rules import STUDY
from tests.test_config import check, study_file

LABEL = "        label: died\n"
CLASSES = f"{LABEL}        classes: [Home, ward, icu]\n"
STRATEGIES = "strategies:\n  centralized: {}\n"


@pytest.fixture
def checked(tmp_path, capsys):
    """Check the study with three classes, and with lines put in the place of others."""
    (tmp_path / "visits.csv").write_text("pid\n")

    def run(old="", new=""):
        text = STUDY.format(root=tmp_path).replace(LABEL, CLASSES)
        assert old in text
        shutil.rmtree(tmp_path / "config", ignore_errors=True)
        return check(capsys, study_file(tmp_path, text.replace(old, new, 1)))

    return run


def test_three_classes_are_good(checked):
    assert checked() == (0, "")


def split(settings):
    return STRATEGIES, f"{STRATEGIES}  split_u: {{privacy: {settings}}}\n"


def vanilla(settings):
    return STRATEGIES, f"{STRATEGIES}  split: {{privacy: {settings}}}\n"


TOP = "name: visits\nallow_pooling: true\nrelease: predictions\n"
FEDERATED = TOP.replace("release: predictions", "evaluation: federated")
SITES = "  a: {name: a}\n  b: {name: b}\n"
AUDITED = "audit: small\nrecord_wire: true\nsites:\n" + SITES.replace("}", ", allow_recording: true}")
BALANCED = "training: {class_weights: balanced}"
CUT, FROM = "    cut: layer1\n", "and 'death' has 3 classes"
BAD = {
    "two classes": ("[Home, ward, icu]", "[Home, ward]", "say positive and negative instead"),
    "a class twice": ("[Home, ward, icu]", "[Home, ward, home]", "'home' is named twice"),
    "a class that is missing": (CLASSES, f"{CLASSES}        missing: [icu]\n", "missing value and no class"),
    "positive beside": (CLASSES, f"{CLASSES}        positive: [icu]\n", "remove it, or classes"),
    "negative beside": (CLASSES, f"{CLASSES}        negative: [home]\n", "remove it, or classes"),
    "a class of the tables' own": ("icu]", "stratified]", "rename the class"),
    "federated": (TOP, FEDERATED, f"set evaluation: scores, {FROM}"),
    "attacks": (f"sites:\n{SITES}", AUDITED, f"set audit: none, {FROM}"),
    "subgroups": (TOP, f"{TOP}subgroups: true\n", f"set subgroups: false, {FROM}"),
    "class weights": (STRATEGIES, f"{STRATEGIES}  local: {{{BALANCED}}}\n", f"set none, {FROM}"),
    "a task's class weights": (CUT, f"{CUT}    {BALANCED}\n", f"set none, {FROM}"),
    "randomised response": (*vanilla("{label_epsilon: 1.0}"), f"randomised response .*remove it, {FROM}"),
    "gradients that hide labels": (*split("{cut_gradient: marvell}"), f"hides .*remove it, {FROM}"),
    "hijacking": (*vanilla("{detect_hijacking: true}"), f"tells gradients .*remove it, {FROM}"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_reads_two_classes_is_refused(checked, case):
    old, new, said = BAD[case]
    status, text = checked(old, new)
    assert status == 2
    assert re.search(said, text), text
