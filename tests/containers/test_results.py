"""A finished run's hand-over."""

import os

import pytest

from containers.errors import ConfigError
from containers.gang import Gang
from containers.results import collect

WALLS = {"runtime": "host", "isolation": "none"}


@pytest.fixture
def gang(tmp_path):
    return Gang("run", ("north",), {}, 1, tmp_path / "spec", None, tmp_path / "state", tmp_path / "results")


def hand_in(gang, party, **files):
    for name, text in files.items():
        path = gang.state / party / "out" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def held(gang):
    return {str(path.relative_to(gang.results)) for path in gang.results.rglob("*") if path.is_file()}


def test_the_parties_folders_merge_and_stale_files_go(gang):
    hand_in(gang, "coordinator", costs="c", model__coordinator="1")
    hand_in(gang, "north", model__north="2")
    for stale in ("model/south", "costs/was_a_folder", "old/deep/file", "model/north/too"):
        (gang.results / stale).parent.mkdir(parents=True, exist_ok=True)
        (gang.results / stale).write_text("stale")
    collect(gang, WALLS)
    assert held(gang) == {"costs", "model/coordinator", "model/north", "isolation.json"}
    assert not (gang.results / "old").exists()
    assert (gang.results / "costs").read_text() == "c"


def test_a_reader_never_finds_half_a_file(gang):
    """A file that was open stays what it was, and the new one has another inode."""
    gang.results.mkdir()
    (gang.results / "costs").write_text("old")
    hand_in(gang, "north", costs="new")
    with (gang.results / "costs").open() as before:
        collect(gang, WALLS)
        assert before.read() == "old"
        assert os.fstat(before.fileno()).st_ino != (gang.results / "costs").stat().st_ino
    assert (gang.results / "costs").read_text() == "new"


def test_nothing_appears_when_two_parties_hand_in_the_same_file(gang):
    hand_in(gang, "coordinator", costs="c", model="m")
    hand_in(gang, "north", costs="n")
    with pytest.raises(ConfigError, match="another party hands over a file of this name"):
        collect(gang, WALLS)
    assert held(gang) == set()
    assert not list(gang.results.parent.glob(".results.partial*"))


def test_a_link_to_somewhere_else_is_no_result(gang, tmp_path):
    (tmp_path / "patients.csv").write_text("private")
    hand_in(gang, "north", costs="n")
    (gang.state / "north" / "out" / "leak").symlink_to(tmp_path / "patients.csv")
    with pytest.raises(ConfigError, match="not a plain file"):
        collect(gang, WALLS)
    assert held(gang) == set()
