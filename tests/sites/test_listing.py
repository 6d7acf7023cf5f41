"""Listing a source's sites: what a study can take over, and no small count."""

import json

import pytest
import yaml

from coordinator.command_line import main
from coordinator.config import Site
from coordinator.errors import DataError
from sites.__main__ import COMMANDS
from sites.listing import sites_of


def listed(counts, by="hospital", smallest=30):
    return "\n".join(sites_of(counts, source="eicu", by=by, smallest=smallest))


def test_the_sites_of_the_demo_are_a_study_s(data_root, capsys):
    folder = str(data_root / "eicu_demo")
    options = ["list", "--source", "eicu", "--input", folder, "--by", "hospital", "--min", "30"]
    assert main("sites", COMMANDS, options) == 0
    text = capsys.readouterr().out
    sites = yaml.safe_load(text)["sites"]
    assert list(sites) == ["hospital_123", "hospital_146", "others"]
    for name, site in sites.items():
        assert Site.model_validate_json(json.dumps(site)).name == name
    assert sites["others"]["select"] == {"eicu": ["*"]}
    assert "sites: [hospital_123, hospital_146, others]" in text
    assert "# 40 records" in text
    assert "# 2450 records" in text


def test_no_count_below_the_smallest_is_printed():
    text = listed({"7": 31, "8": 29, "9": 12})
    assert "# 41 records" in text  # of the two together
    assert not any(f" {count} " in text for count in (29, 12))
    text = listed({"7": 31, "9": 12})
    assert "12 records" not in text
    assert "# fewer than 30 records" in text


def test_names_are_those_a_site_can_have():
    sites = yaml.safe_load(listed({"Östlich & West": 40, "12": 50, 'a"b': 60}, by="region"))["sites"]
    assert list(sites) == ["stlich_west", "region_12", "a_b"]
    assert sites["a_b"]["select"] == {"eicu": ['a"b']}
    for site in sites.values():
        Site.model_validate_json(json.dumps(site))


def test_groups_that_make_no_sites_are_refused():
    with pytest.raises(DataError, match="no hospital has 30 records"):
        listed({"7": 29})
    with pytest.raises(DataError, match="give one name"):
        listed({"a b": 40, "a-b": 40})


def test_a_source_without_groups_is_refused(tmp_path, capsys):
    options = ["list", "--source", "heart", "--input", str(tmp_path)]
    assert main("sites", COMMANDS, options) == 2
    assert "name its sites by hand" in capsys.readouterr().err
