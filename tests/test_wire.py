"""The wire holds what passed in one round and the final scoring, and recording changes no bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tests.federation
from coordinator.algorithms.protecting import Hear
from coordinator.errors import DataError
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Activations, Verdict, Weights
from coordinator.wire import Recorder, read_wire
from tests.federation import a_run, federate

SIZES = (40, 24)
U_SHAPED = {"cut": ("layer1", "layer2")}


def listened(monkeypatch: pytest.MonkeyPatch, recorder: Recorder, hear: Hear | None = None) -> None:
    """Have every coordinator's channel in this process heard by a recorder, or by what hands on to it."""

    class Listened(CoordinatorChannel):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.listener = hear or recorder.hear

    monkeypatch.setattr(tests.federation, "CoordinatorChannel", Listened)


def test_a_recorded_round_is_what_the_sites_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, run = Recorder(1, 1), a_run("split_u", SIZES, **U_SHAPED)
    unheard, *_ = federate(run, SIZES)
    listened(monkeypatch, recorder)
    heard, outcomes, _ = federate(run, SIZES)
    for name, value in heard.parts["middle"].state_dict().items():
        assert torch.equal(value, unheard.parts["middle"].state_dict()[name])
    recorder.write(tmp_path / "wire")
    found = read_wire(tmp_path / "wire")
    assert {each.position[:2] for each in found} == {(0, 1), (-1, -1)}
    for index, site in enumerate(run.sites):
        sent = [m for m in outcomes[site][2] if isinstance(m, Activations) and m.position[:2] != (0, 0)]
        kept = [each for each in found if each.kind == "Activations" and each.position[2] == index]
        assert len(sent) == len(kept) > 1
        for message, each in zip(sent, kept, strict=True):
            assert message.position == each.position
            assert np.array_equal(message.tensor, each.arrays["tensor"])
    assert {each.kind for each in found} == {"Activations", "Features", "HeadGradient", "CutGradient"}


def test_a_model_is_kept_as_it_was_sent(tmp_path: Path) -> None:
    recorder = Recorder(0, 1)
    memory = np.ones(3, dtype=np.float32)
    recorder.hear("north", Weights((0, 0, 0, -1), (memory, memory), 5))
    recorder.hear("north", Weights((0, 1, 0, -1), (memory,), 5))  # another round
    recorder.hear("north", Verdict((0, 0, 0, -1), True))
    memory[:] = 7
    recorder.write(tmp_path / "wire")
    (found,) = read_wire(tmp_path / "wire")
    assert [array.tolist() for array in found.arrays.values()] == [[1, 1, 1], [1, 1, 1]]


def test_nothing_recorded_leaves_no_file_and_reading_says_so(tmp_path: Path) -> None:
    (tmp_path / "wire").write_bytes(b"of an earlier attempt")
    Recorder(None, 1).write(tmp_path / "wire")
    with pytest.raises(DataError, match="no recorded wire"):
        read_wire(tmp_path / "wire")


def test_a_trial_given_up_before_the_round_leaves_its_last(tmp_path: Path) -> None:
    recorder = Recorder(5, 2)
    for trial, round_ in ((0, 0), (0, 5), (1, 0), (1, 1), (1, 6), (-1, -1)):
        recorder.hear("north", Weights((trial, round_, 0, -1), (np.zeros(2, dtype=np.float32),), 5))
    recorder.write(tmp_path / "wire")
    kept = [each.position[:2] for each in read_wire(tmp_path / "wire")]
    assert kept == [(1, 0), (1, 1), (-1, -1)]  # and the model that went down before it


def test_a_round_is_kept_with_the_model_it_began_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for round_ in (0, 1):
        recorder = Recorder(round_, 1)
        listened(monkeypatch, recorder)
        federate(a_run("fedavg", SIZES), SIZES)
        recorder.write(tmp_path / f"{round_}")
    first, second = (read_wire(tmp_path / f"{round_}") for round_ in (0, 1))
    assert [each.position[1] for each in second] == [0, 1, 1, 1, 1]  # two come up, one average goes to two
    before, average = second[0].arrays, first[-1].arrays
    assert all(np.array_equal(before[name], average[name]) for name in average)
