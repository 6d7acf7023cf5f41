"""A site that joins later uses the normalisation of an earlier agreement, over the whole protocol."""

import json
from threading import Thread

import numpy as np
import pytest

from coordinator.algorithms.agree import coordinator_agree, site_agree
from coordinator.config import Columns, Data, Site
from coordinator.errors import ConfigError, ProtocolError
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.inproc import Hub
from coordinator.protocol.messages import Hello
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Agreement
from coordinator.statistics import read_statistics, with_frozen
from sites import prepared
from sites.aggregates import aggregate
from sites.prepare import prepare
from sites.records import load

COLUMNS = Columns(patient="id", label="y", numeric=("age", "hr"), categorical=("ward",))
LIMIT = 1 << 26


@pytest.fixture
def folder_of(tmp_path, preparation):
    """Prepare a site of invented patients; gives its folder."""

    def make(site, mean, words, columns=COLUMNS):
        draw = np.random.default_rng(len(site))
        rows = [
            f"p{i},{i % 2},{draw.normal(mean):.3f},{draw.normal(80):.3f},{words[i % len(words)]}"
            for i in range(80)
        ]
        path = tmp_path / f"{site}.csv"
        path.write_text("\n".join(["id,y,age,hr,ward", *rows]) + "\n")
        changes = {"site": Site(name=site), "data": Data(source="table", columns=columns)}
        ready, rejected = prepare(preparation("table").model_copy(update=changes), path)
        prepared.write(tmp_path / site, ready, rejected)
        return tmp_path / site

    return make


def agree(folders, frozen=None):
    """Agree over the link without sockets; gives what each site was told."""
    spec = Agreement(
        study="s", task="t", seed=0, sites=tuple(folders), prepared={}, validation=0.15, missing="impute",
        frozen=frozen and str(frozen), min_cell=5, threads=1,
    )  # fmt: skip
    hub, told, threads = Hub(), {}, []

    def take_part(name, folder):
        channel = SiteChannel(hub.spoke(name), limit=LIMIT, release=lambda message, size: None)
        channel.enter(Hello(name, "s", 0), lambda refusals: None)
        told[name] = site_agree(aggregate(folder, 0, 0.15, 5), channel)

    for name, folder in folders.items():
        threads.append(Thread(target=take_part, args=(name, folder), daemon=True))
        threads[-1].start()
    channel = CoordinatorChannel(hub, spec.sites, spec="s", limit=LIMIT)
    channel.admit()
    channel.welcome(())
    statistics = coordinator_agree(spec, channel)
    for thread in threads:
        thread.join(10)
    assert set(told) == set(folders)
    assert all(each == json.loads(json.dumps(statistics)) for each in told.values())
    return statistics


@pytest.fixture
def earlier(folder_of, tmp_path):
    """Agree at two hospitals; gives their statistics' file."""
    folders = {"north": folder_of("north", 50, ["icu", "med"]), "south": folder_of("south", 60, ["icu"])}
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps(agree(folders)))
    return path, folders


def normalisation(statistics):
    return {kind: statistics[kind] for kind in ("numeric", "series", "image", "categorical", "input_shapes")}


def test_a_new_site_joins_with_the_old_normalisation(earlier, folder_of):
    path, folders = earlier
    before = json.loads(path.read_bytes())
    everyone = {**folders, "east": folder_of("east", 90, ["surgery", "icu"])}
    joined = agree(everyone, frozen=path)
    assert normalisation(joined) == normalisation(before)
    assert normalisation(agree(everyone)) != normalisation(before)  # the new site would have changed it
    assert list(joined["sites"]) == ["north", "south", "east"]
    assert joined["sites"]["east"]["train"] > 0
    old, new = (load(folders["north"], each, 0, 0.15, "impute") for each in (before, joined))
    for role in old:
        np.testing.assert_array_equal(
            old[role].inputs.arrays(slice(None))["table"], new[role].inputs.arrays(slice(None))["table"]
        )
    east = load(everyone["east"], joined, 0, 0.15, "impute")["train"].inputs.arrays(slice(None))["table"]
    ages = (east[:, 0] * before["numeric"][0]["std"]) + before["numeric"][0]["mean"]
    assert ages.mean() == pytest.approx(90, abs=1)  # in its own units, by the old mean and spread
    words = [f"ward={level}" for level in before["categorical"][0]["levels"]]
    assert words == ["ward=icu", "ward=med"]
    assert (east[:, -2:].sum(axis=1) == 0).any()  # a word nobody had then is no column now


def test_other_features_cannot_be_frozen(earlier, folder_of):
    path, _ = earlier
    other = folder_of("west", 50, ["icu"], COLUMNS.model_copy(update={"numeric": ("hr",)}))
    found = agree({"west": other})
    with pytest.raises(
        ProtocolError, match=r"of the numeric features \['age', 'hr'\], the sites have \['hr'\]"
    ):
        with_frozen(found, read_statistics(path))


def test_a_series_of_another_length_cannot_be_frozen(earlier):
    found = json.loads(earlier[0].read_bytes())
    now, then = ({**found, "input_shapes": {"series": [steps, 4]}} for steps in (24, 48))
    with pytest.raises(ProtocolError, match=r"records with \{'series': \[48, 4\]\}"):
        with_frozen(now, then)
    assert with_frozen(then, then)["input_shapes"] == {"series": [48, 4]}


def test_a_file_without_normalisation_is_refused(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"sites": {}, "input_shapes": {}, "numeric": []}))
    with pytest.raises(ConfigError, match="not a statistics"):
        read_statistics(path)
