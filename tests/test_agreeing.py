"""The coordinator's side of an agreement: the merge is written, and what was left out is said."""

import json
from argparse import Namespace

import numpy as np
import pytest

from coordinator.aggregates import BINS
from coordinator.protocol.messages import Aggregated, Agreed
from coordinator.server.agreeing import coordinate
from coordinator.specs import Agreement


def aggregated(suppressed):
    counts = {"train": 9, "train_events": 5, "validation": 1, "test": 2, "auxiliary": 3}
    histogram = np.zeros((1, BINS), np.int64)
    histogram[0, 40] = 9 - suppressed
    return Aggregated(
        names=("a",), counts=counts, n=np.array([9]), mean=np.array([4.0]), m2=np.array([0.0]),
        missing=np.array([0]), limits=np.array([[0.0, 10.0]]), histogram=histogram, levels={},
        suppressed=suppressed, shapes={"table": ()},
    )  # fmt: skip


class Channel:
    """Two sites that have sent what they had to say."""

    sites = ("north", "south")

    def __init__(self, suppressed):
        self.heard, self.told = [aggregated(count) for count in suppressed], []

    def gather(self, kind):
        assert kind is Aggregated
        return self.heard

    def broadcast(self, message):
        self.told.append(message)

    def admit(self, waiting): ...

    def welcome(self, records): ...

    def finish(self): ...

    def dismiss(self): ...

    def close(self): ...


def agreement(folder, **changes):
    spec = Agreement(
        study="s", task="t", seed=0, sites=("north", "south"), prepared={}, validation=0.1, missing="impute",
        min_cell=5, threads=1, **changes,
    )  # fmt: skip
    (folder / "spec.json").write_text(spec.model_dump_json())
    return Namespace(spec=folder / "spec.json", state=folder)


@pytest.mark.parametrize(
    ("suppressed", "said"),
    [
        ((0, 0), "no cell was suppressed"),
        ((0, 2), "cells too small to leave a site: 2 at south; 2 of 18 values"),
    ],
)
def test_what_was_left_out_is_said_once(suppressed, said, tmp_path, capsys):
    channel = Channel(suppressed)
    coordinate(agreement(tmp_path), lambda *_: channel)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (note,) = [event["text"] for event in events if event["event"] == "note"]
    assert note.startswith(said)
    written = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert [json.loads(message.statistics) for message in channel.told] == [written]
    assert isinstance(channel.told[0], Agreed)
    assert written["suppressed"] == dict(zip(channel.sites, suppressed, strict=True))


def test_a_site_joins_under_frozen_statistics(tmp_path, capsys):
    coordinate(agreement(tmp_path), lambda *_: Channel((0, 0)))
    frozen = tmp_path / "frozen.json"
    earlier = json.loads((tmp_path / "out" / "statistics.json").read_text())
    earlier["numeric"][0] |= {"mean": 1.5, "std": 2.5}
    frozen.write_text(json.dumps(earlier))
    capsys.readouterr()
    coordinate(agreement(tmp_path, frozen=str(frozen)), lambda *_: Channel((0, 3)))
    written = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert (written["numeric"][0]["mean"], written["numeric"][0]["std"]) == (1.5, 2.5)
    assert written["suppressed"]["south"] == 3
    assert f"normalisation kept from {frozen}" in capsys.readouterr().out
