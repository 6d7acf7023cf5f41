"""What a study says of columns and of sites that share a file is checked before anything runs."""

import shutil

import pytest

from tests.test_config import check, line_of, study_file

STUDY = """\
name: visits
allow_pooling: true
release: predictions
data_root: {root}
sites:
  a: {{name: a}}
  b: {{name: b}}
tasks:
  death:
    data:
      source: table
      path: visits.csv
      columns:
        patient: pid
        record: visit
        site: ward
        label: died
        numeric: [age, hr]
        categorical: [sex]
    sites: [a, b]
    model: {{name: mlp, hidden: [8, 4]}}
    cut: layer1
strategies:
  centralized: {{}}
"""


@pytest.fixture
def checked(tmp_path, capsys):
    """Check the study with lines changed; gives the status, what was said, and the text."""
    (tmp_path / "visits.csv").write_text("pid\n")

    def run(old="", new=""):
        text = STUDY.format(root=tmp_path)
        assert old in text
        text = text.replace(old, new, 1)
        shutil.rmtree(tmp_path / "config", ignore_errors=True)
        return *check(capsys, study_file(tmp_path, text)), text

    return run


def test_the_study_itself_is_good(checked):
    assert checked()[:2] == (0, "")


INPUTS, WORDS = "numeric: [age, hr]", "        label: died\n"
BAD = {
    "an input that is the outcome": (INPUTS, "numeric: [age, died]", "'died' is the label too"),
    "an input that is the patient": (INPUTS, "numeric: [pid, hr]", "'pid' is the patient too"),
    "an input that is the record": ("[sex]", "[visit]", "'visit' is the record too"),
    "an input twice": ("[sex]", "[age]", "'age' is named twice"),
    "a name of preparation's": (INPUTS, "numeric: [age, role]", "'role' has a meaning"),
    "a name of a series": (INPUTS, "numeric: [age, 'series:hr']", "has a meaning"),
    "a row's place": ("record: visit", "record: row", "kept for a row's place"),
    "no word": (WORDS, WORDS + "        positive: []\n", "no word"),
    "a word twice": (WORDS, WORDS + "        positive: ['1', ' No']\n", "'no' is among the positive words"),
    "limits of no input": (WORDS, WORDS + "        limits: {weight: [0, 9]}\n", "no numeric input"),
    "limits upside down": (WORDS, WORDS + "        limits: {hr: [300, 0]}\n", "300.0 is not below 0.0"),
    "times of nothing": (WORDS, WORDS + "        times: {hr: hr_at}\n", "no prediction_time"),
    "a prediction without times": (WORDS, WORDS + "        prediction_time: at\n", "no input's time"),
    "the time of no input": (
        WORDS, WORDS + "        prediction_time: at\n        times: {x: x_at}\n", "'x' is no input",
    ),
    "a time that is an input": (
        WORDS, WORDS + "        prediction_time: at\n        times: {hr: age}\n", "'age' has another meaning",
    ),
    "ages in words": (WORDS, WORDS + "        age: sex\n", "ages are numbers"),
    "sexes in numbers": (WORDS, WORDS + "        sex: hr\n", "make it a categorical one"),
    "no input": ("        numeric: [age, hr]\n        categorical: [sex]\n", "", "a table without inputs"),
    "two sites with the same rows": ("{name: b}", "{name: b, select: {table: [B, A]}}", "both take 'A'"),
    "two sites with the rest": (
        "  a: {name: a}\n  b: {name: b}",
        "  a: {name: a, select: {table: ['*']}}\n  b: {name: b, select: {table: ['*']}}", "both take '*'",
    ),
    "an inline site of another name": ("b: {name: b}", "b: {name: c}", "name is 'c', expected 'b'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_meant_is_refused(checked, name):
    old, new, problem = BAD[name]
    status, said, _ = checked(old, new)
    assert status == 2
    assert problem in said
    assert "study.yaml:" in said


def test_columns_are_asked_for_and_only_where_they_are_read(checked):
    block = STUDY[STUDY.index("      columns:") : STUDY.index("    sites: [a, b]")]
    status, said, text = checked(block, "")
    assert status == 2
    assert "'table' needs to know what the table's columns mean" in said
    assert f"study.yaml:{line_of(text, 'data:')}: tasks.death.data.columns" in said
    status, said, text = checked("source: table\n      path: visits.csv\n", "source: breast_cancer\n")
    assert status == 2
    assert "'breast_cancer' knows its own columns" in said
    assert f"study.yaml:{line_of(text, 'columns:')}: " in said


def test_the_error_stands_at_the_line_of_its_key(checked):
    _, said, text = checked("numeric: [age, hr]", "numeric: [age, died]")
    assert f"study.yaml:{line_of(text, 'numeric:')}: tasks.death.data.columns.numeric: 'died'" in said
