"""Commits on disk: written in an order that no power cut turns against them, checked when they are read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from federation import a_run
from safetensors.torch import load, save

from coordinator import commits as commits_file
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.checkpoint import state_of
from coordinator.commits import Commit, Commits, spec_hash
from coordinator.config import OnLoss
from coordinator.errors import ProtocolError
from coordinator.keeping import Keeping
from coordinator.tensor_files import pieces, read_metadata, read_tensors
from coordinator.trees import flatten, rebuild

STATE = {"parts": {"front": {"w": torch.arange(6.0).reshape(2, 3)}}, "seen": {0: (1.5, 2)}}


def commit(number):
    return Commit(number, 10 * number, STATE, {"bytes": {"up": number}})


@pytest.fixture(params=["copied", "streamed"], autouse=True)
def big(request, monkeypatch):
    """Commits are copied and written by a thread, or, where they are big, written where they lie."""
    if request.param == "streamed":
        monkeypatch.setattr(commits_file, "COPIED_BYTES", 0)
    return request.param == "streamed"


@pytest.fixture
def folder(tmp_path):
    """Three commits of one run, of which two are kept."""
    commits = Commits(tmp_path / "commits", "spec")
    for number in (1, 2, 3):
        commits.write(commit(number))
        commits.forget_old()
    return tmp_path / "commits"


def test_two_are_kept_and_read_as_they_were_written(folder):
    commits = Commits(folder, "spec")
    assert list(commits.held()) == [2, 3]
    found = commits.read(3)
    assert (found.number, found.item, found.extra) == (3, 30, {"bytes": {"up": 3}})
    assert torch.equal(found.state["parts"]["front"]["w"], STATE["parts"]["front"]["w"])
    assert found.state["seen"] == {0: [1.5, 2]}


def newest(folder):
    return next(folder.glob("00000003.*.safetensors"))


@pytest.mark.parametrize("harm", [lambda b: b[:-1], lambda b: b[:-20] + b"\0" * 20, lambda b: b""])
def test_of_a_damaged_one_nothing_is_used(folder, harm):
    path = newest(folder)
    path.write_bytes(harm(path.read_bytes()))
    assert list(Commits(folder, "spec").held()) == [2]


def test_another_run_s_are_moved_aside_and_stay(folder):
    assert Commits(folder, "another learning rate").held() == {}
    assert sorted(path.name[:8] for path in (folder / "aside").iterdir()) == ["00000002", "00000003"]
    assert not list(folder.glob("0*"))


def test_what_decides_a_run_s_outcome_is_its_hash_and_how_long_is_waited_is_not():
    run, statistics = a_run("split", (10, 20)), {"sites": {"site0": {"train": 10}}}
    same = spec_hash(run, statistics)
    patient = run.model_copy(update={"on_loss": OnLoss(minutes=5, restarts=9)})
    assert spec_hash(patient, statistics) == same
    faster = run.training.model_copy(update={"learning_rates": (0.1,)})
    assert spec_hash(run.model_copy(update={"training": faster}), statistics) != same
    assert spec_hash(run, {"sites": {"site0": {"train": 11}}}) != same


def test_a_flipped_bit_in_what_is_plain_shows(folder):
    path, plain = newest(folder), rb"\"item\": 3"
    assert plain in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(plain + b"0", plain + b"1"))
    assert list(Commits(folder, "spec").held()) == [2]


def test_nothing_is_forgotten_for_a_commit_that_is_not_held(folder):
    keeping = Keeping(Commits(folder, "spec"), {})
    with pytest.raises(ProtocolError, match=r"asked to go on from commit 1, and \[2, 3\] are held"):
        keeping.rewind(1)
    assert list(keeping.commits.held()) == [2, 3]


def test_half_a_commit_of_a_killed_process_is_removed(folder):
    (folder / ".00000004.abc.safetensors.17.partial").write_bytes(bytes(1000))
    Commits(folder, "spec")
    assert not list(folder.glob(".*"))


def test_rewinding_forgets_what_came_later(folder):
    commits = Commits(folder, "spec")
    commits.rewind(2)
    assert list(Commits(folder, "spec").held()) == [2]
    commits.rewind(-1)
    assert Commits(folder, "spec").held() == {}


def test_the_order_of_calls_survives_a_power_cut(tmp_path, monkeypatch, big):
    """Write and sync a file, rename it, sync the folder; only then is the commit told of."""
    calls = []

    def noting(name, real):
        def call(*args):
            calls.append((name, place_of(args[0])))
            return real(*args)

        return call

    commits = Commits(tmp_path, "spec")
    monkeypatch.setattr(os, "fsync", noting("sync", os.fsync))
    monkeypatch.setattr(Path, "rename", noting("rename", Path.rename))
    commits.write(commit(1))
    partial = commits_file.SPARE if big else f".00000001.{commits.held()[1]}.safetensors"
    assert calls == [("sync", partial), ("rename", partial), ("sync", tmp_path.name)]


@pytest.mark.parametrize("written", [0, 100, 10_000])
def test_a_power_cut_while_an_old_commit_is_written_over_costs_nothing(folder, written):
    """Its new name may not have come onto the disk, and any part of its new bytes may have."""
    commits = Commits(folder, "spec")
    (path,) = folder.glob("00000002.*")
    old = path.read_bytes()
    commits.write(commit(4))
    commits.forget_old()
    new = next(folder.glob("00000004.*")).read_bytes()
    path.write_bytes(new[:written] + old[written:])
    held = Commits(folder, "spec").held()
    assert list(held)[-2:] == [3, 4]
    assert (2 in held) == (written == 0)


def test_a_shorter_commit_over_a_longer_one_leaves_nothing_of_it(tmp_path):
    commits = Commits(tmp_path, "spec")
    commits.write(Commit(1, 1, {"w": torch.ones(1000)}))
    for number in (2, 3, 4):
        commits.write(commit(number))
        commits.forget_old()
    assert list(Commits(tmp_path, "spec").held()) == [3, 4]


def place_of(what):
    path = Path(f"/proc/self/fd/{what}").readlink() if isinstance(what, int) else what
    return path.name.partition(f".{os.getpid()}")[0]


def test_a_file_that_was_not_synced_does_not_count(folder):
    """After a power cut a file may be there with its name, its length and none of its bytes."""
    path = newest(folder)
    path.write_bytes(bytes(path.stat().st_size))
    assert list(Commits(folder, "spec").held()) == [2]


def test_a_commit_holds_all_that_a_party_has():
    """A new field of Party must be kept, or follow from the run."""
    follows = {
        "run", "cohort", "index", "data", "sealer", "shapes", "tensors", "class_weights", "site_shapes",
        "site_parameters", "upcoming", "ahead", "away", "gone", "left",
        "guard",
    }  # fmt: skip
    kept = {**state_of(Party(a_run("local", (10,)), Cohort((6,), (10,), (5,), (5,))))}
    assert set(Party.__dataclass_fields__) - follows == kept.keys()


def test_nested_values_come_back_as_they_were():
    value = {
        "a": [torch.ones(2), None, True, float("inf")],
        3: {"x": np.arange(4), "nan": float("nan")},
        "empty": {},
    }
    tensors = {}
    text = json.dumps(flatten(value, "root", tensors))
    found = rebuild(json.loads(text), tensors)
    assert found.keys() == value.keys()
    assert torch.equal(found["a"][0], value["a"][0])
    assert found["a"][1:] == value["a"][1:]
    assert np.array_equal(found[3]["x"], value[3]["x"])
    assert np.isnan(found[3]["nan"])
    with pytest.raises(TypeError, match="root/f: a function cannot be kept"):
        flatten({"f": place_of}, "root", {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.bool])
def test_a_file_is_the_library_s_own(tmp_path, dtype):
    tensors = {
        "b": torch.arange(6).reshape(2, 3).to(dtype),
        "a": torch.ones((), dtype=dtype),
        "none": torch.empty(0, 3, dtype=dtype),
        "wide": torch.ones(3, dtype=torch.float64),
        "whole": torch.ones(3, dtype=torch.int32),
    }
    content = b"".join(pieces(tensors, {"suture": "{}"}))
    assert content == save(tensors, {"suture": "{}"})
    assert b"".join(pieces(tensors)) == save(tensors)
    (tmp_path / "file").write_bytes(content)
    assert read_metadata(tmp_path / "file") == {"suture": "{}"}
    for found in (load(content), read_tensors(tmp_path / "file")):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_disk_that_is_full_loses_no_commit(folder, monkeypatch):
    """Half a file gives its room back, and the commits before it stay."""

    class Full:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, piece):
            raise OSError(28, "No space left on device")

    commits, opened = Commits(folder, "spec"), Path.open
    monkeypatch.setattr(commits_file, "COPIED_BYTES", 0)
    monkeypatch.setattr(Path, "open", lambda path, mode: Full(opened(path, mode)))
    with pytest.raises(OSError, match="No space"):
        commits.write(commit(4))
    monkeypatch.undo()
    assert list(Commits(folder, "spec").held()) == [2, 3]
    assert not list(folder.glob(".*"))
