import json

import numpy as np
import pytest

from coordinator.config import Site
from coordinator.errors import DataError
from coordinator.statistics import columns, merge
from sites import prepared
from sites.aggregates import aggregate
from sites.datasets import network
from sites.prepare import prepare
from sites.records import ROLES, load

SHARE, SEED, CELL = 0.15, 4, 5


@pytest.fixture
def heart(tmp_path, heart_file, preparation):
    """Prepare two sites with missing values and one rare word, and agree on their statistics."""
    gaps = {row: f"{40 + row},1,4,?,260,0,1,112,1,3,2,?,?,2" for row in (3, 9, 12, 17, 20, 24, 31, 38)}
    folders = {}
    for site, rows in (("north", 60), ("south", 41)):
        path = heart_file(rows, gaps if site == "south" else {5: "63,1,4,140,260,0,?,112,1,3,2,?,?,2"})
        spec = preparation("heart", site=Site(name=site))
        folders[site] = tmp_path / site
        prepared.write(folders[site], *prepare(spec, path))
    return folders


def agree(folders, seed=SEED):
    statistics = merge(
        "task", seed, {site: aggregate(folder, seed, SHARE, CELL) for site, folder in folders.items()}
    )
    return json.loads(json.dumps(statistics))  # as the sites get it: from a file


def inputs_of(records, modality="table"):
    """Give what a model reads of all of a role's records."""
    return records.inputs.arrays(slice(None))[modality]


def test_the_input_is_as_wide_as_agreed_and_normalised(heart):
    statistics = agree(heart)
    sites = [load(folder, statistics, SEED, SHARE, "impute") for folder in heart.values()]
    assert statistics["input_shapes"] == {"table": [len(columns(statistics))]}
    for roles in sites:
        assert list(roles) == list(ROLES)
        for records in roles.values():
            table = inputs_of(records)
            assert table.shape == (len(records.labels), *statistics["input_shapes"]["table"])
            assert (table.dtype, records.labels.dtype) == (np.float32, np.float32)
            assert (records.record.dtype, records.patient.dtype) == (np.int64, np.int64)
            assert np.isfinite(table).all()
    pooled = np.concatenate([inputs_of(roles["train"]) for roles in sites])
    varying = pooled[:, :5].std(axis=0) > 0
    # thalach is the same for all but a few, who are told of as if they had it too
    assert pooled[:, :5].mean(axis=0) == pytest.approx([0, 0, 0, 0, 0], abs=0.1)
    assert pooled[:, :3].mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-5)
    assert varying[:3].all()


def test_a_missing_number_gets_the_mean_and_a_flag(heart):
    statistics = agree(heart)
    names = columns(statistics)
    assert "trestbps:missing" in names
    assert "age:missing" not in names
    frame = prepared.read(heart["south"]).frame
    for records in load(heart["south"], statistics, SEED, SHARE, "impute").values():
        gone = frame["trestbps"].isna().to_numpy()[records.record]
        table = inputs_of(records)
        assert (table[:, names.index("trestbps:missing")] == gone).all()
        assert (table[gone, names.index("trestbps")] == 0).all()


def test_words_become_columns_and_unknown_ones_zeros(heart):
    statistics = agree(heart)
    statistics["categorical"][1]["levels"].remove("asymptomatic")
    statistics["input_shapes"] = {"table": [len(columns(statistics))]}
    names = columns(statistics)
    places = [i for i, name in enumerate(names) if name.startswith("cp=")]
    frame = prepared.read(heart["north"]).frame
    test = load(heart["north"], statistics, SEED, SHARE, "impute")["test"]
    known = (frame["cp"] != "asymptomatic").to_numpy()[test.record]
    assert not known.all()
    assert (inputs_of(test)[:, places].sum(axis=1) == known).all()


def test_the_test_patients_are_frozen_and_validation_follows_the_seed(heart):
    statistics = agree(heart)
    first, second = (load(heart["north"], statistics, seed, SHARE, "impute") for seed in (0, 1))
    for role in ("test", "auxiliary"):
        assert (first[role].record == second[role].record).all()
    assert set(first["validation"].record) != set(second["validation"].record)
    everyone = np.concatenate([records.record for records in first.values()])
    assert sorted(everyone.tolist()) == list(range(60))
    patients = [set(records.patient.tolist()) for records in first.values()]
    assert sum(len(found) for found in patients) == len(set().union(*patients))


def test_statistics_of_other_features_are_refused(heart):
    statistics = agree(heart)
    statistics["numeric"][0]["name"] = "height"
    with pytest.raises(DataError, match=r"numeric features .*age.* the agreed statistics have .*height"):
        load(heart["north"], statistics, SEED, SHARE, "impute")


def test_missing_values_under_the_rule_that_has_none_are_refused(heart):
    with pytest.raises(DataError, match="missing values"):
        load(heart["south"], agree(heart), SEED, SHARE, "quarantine")


def test_images_are_normalised_by_all_sites_training_pixels(tmp_path, deal_spec, preparation):
    spec = deal_spec("network", records=66, modalities=("image",))
    network.deal(spec, tmp_path / "dealt")
    folders = {}
    for site in spec.sites:
        ready, rejected = prepare(preparation("network", site=site), tmp_path / "dealt" / site.name)
        folders[site.name] = tmp_path / site.name
        prepared.write(folders[site.name], ready, rejected)
    statistics = agree(folders)
    assert statistics["input_shapes"] == {"image": [1, 16, 16]}
    roles = [load(folder, statistics, SEED, SHARE, "impute") for folder in folders.values()]
    pixels = np.concatenate([inputs_of(found["train"], "image") for found in roles]).astype(np.float64)
    assert pixels.mean() == pytest.approx(0, abs=1e-5)
    assert pixels.std() == pytest.approx(1, abs=1e-5)
