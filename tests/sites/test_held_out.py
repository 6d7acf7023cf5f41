"""A held-out site only tests: it adds nothing to the statistics, and is normalised by the others'."""

import numpy as np

from coordinator.config import Data, Site
from coordinator.specs import Deal
from coordinator.statistics import merge
from sites import prepared
from sites.aggregates import aggregate
from sites.datasets import breast_cancer
from sites.prepare import prepare
from sites.records import load

SITES = tuple(Site(name=name) for name in ("north", "south"))


def test_a_held_out_site_leaves_the_statistics_as_they_are(tmp_path, preparation):
    breast_cancer.deal(Deal(data=Data(source="breast_cancer"), sites=SITES, seed=0), tmp_path / "dealt")
    for site in SITES:
        spec = preparation("breast_cancer", site=site, held_out=site.name == "south")
        ready, rejected = prepare(spec, tmp_path / "dealt" / site.name)
        prepared.write(tmp_path / site.name, ready, rejected)
    summary = prepared.read(tmp_path / "south").summary
    assert summary.roles["test"].records == summary.records > 100
    assert summary.warnings == ("no development record: the site only tests",)

    parts = {site.name: aggregate(tmp_path / site.name, 0, 0.15, 5) for site in SITES}
    both, alone = merge("t", 0, parts), merge("t", 0, {"north": parts["north"]})
    for kind in ("numeric", "categorical", "input_shapes"):
        assert both[kind] == alone[kind]
    assert {both["sites"]["south"][role] for role in ("train", "validation", "auxiliary")} == {0}
    records = load(tmp_path / "south", both, 0, 0.15, "impute")
    assert [len(records[role].labels) for role in ("train", "validation", "auxiliary")] == [0, 0, 0]
    inputs = records["test"].inputs.arrays(slice(None))["table"]
    assert inputs.shape == (summary.records, 30)
    assert np.abs(inputs.mean(axis=0)).max() < 1
