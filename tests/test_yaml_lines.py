"""Config files hold plain values only, and whatever else YAML can say is refused at its line, at once."""

from pathlib import Path

import pytest

from coordinator.errors import ConfigError
from coordinator.yaml_lines import load

ALIASED, TAGGED, DEEP = "anchors and aliases", "tags such as", "nested deeper than 20"
# name -> the third line of a file, and what the message says
REFUSED = {
    "a list that holds itself": ("x: &a [*a]", ALIASED),
    "a map that holds itself": ("x: &a {b: *a}", ALIASED),
    "an anchor": ("x: &a 1", ALIASED),
    "an anchored key": ("&a x: 1", ALIASED),
    "an alias": ("x: *a", ALIASED),
    "aliases of aliases": (
        "x: [&a0 [1, 1], " + ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 64)) + "]",
        ALIASED,
    ),
    "a list as key": ("? [a, b]", "a key is a list or a map"),
    "a map as key": ("{a: b}: 1", "a key is a list or a map"),
    "deep lists": ("x: " + "[" * 3000 + "]" * 3000, DEEP),
    "deep maps": ("x: " + "{a: " * 3000 + "}" * 3000, DEEP),
    "deep dashes": ("x:\n" + "- " * 3000, DEEP),
    "lists without end": ("x: " + "[" * 100_000, DEEP),
    "a NUL byte": ("x: \0", "character 0x0 is not text"),
    "a NUL, escaped": (r'x: "\0"', "character 0x0 is not text"),
    "a NUL in a key": (r'"\0": x', "character 0x0 is not text"),
    "a lone surrogate": (r'x: "\ud800"', "character 0xd800 is not text"),
    "a character beyond Unicode": (r'x: "\Uffffffff"', "not YAML"),
    "bytes": ("x: !!binary aGVsbG8=", TAGGED),
    "a set": ("x: !!set {0}", TAGGED),
    "an object": ("x: !!python/object/apply:os.system [id]", TAGGED),
    "a key twice": ("first: 1", "stands twice"),
    "another document": ("--- {}", "a second document"),
    "a number without end": ("x: 1e999", "too large"),
    "a list left open": ("x: [1", "not YAML"),
    "not UTF-8": (b"x: \xe9", "is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    line, message = REFUSED[name]
    path = tmp_path / "study.yaml"
    path.write_bytes(b"# a study\nfirst: 1\n" + (line if isinstance(line, bytes) else line.encode()))
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{path}:{4 if name == 'deep dashes' else 3}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found nothing"),
        ("~", "found nothing"),
        ("- a", "found a list"),
        ("a", "found a single value"),
        ("#" * 300_000, "more than a study takes"),
    ],
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-3", 0.001), ("1.", 1.0), (".5", 0.5), ("-2", -2), ("0", 0), ("True", True), ("null", None),
        ("", None), ("2020-01-01", "2020-01-01"), ("no", "no"), ("1:30", "1:30"), ("010", "010"),
        ("1_000", "1_000"), (".nan", ".nan"), ("9" * 5000, "9" * 5000), ("'1'", "1"), ('"null"', "null"),
        ("[1, {a: x}]", [1, {"a": "x"}]), ("{<<: {a: 1}}", {"<<": {"a": 1}}), ("{1: x}", {"1": "x"}),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, written: str, read: object) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"x: {written}\n", encoding="utf-8")
    value = load(path)[0]["x"]
    assert (value, type(value)) == (read, type(read))


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("\n\na:\n  b:\n  - x\n  - {c: y}\n", encoding="utf-8")
    places = {("a",): 3, ("a", "b"): 4, ("a", "b", 0): 5, ("a", "b", 1): 6, ("a", "b", 1, "c"): 6, (): 1}
    assert load(path)[1] == {where: f"{path}:{line}" for where, line in places.items()}
