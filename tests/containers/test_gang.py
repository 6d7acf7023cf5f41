"""A spec as the launcher reads it, and what it refuses."""

import json
from pathlib import Path

import pytest

from containers.errors import ConfigError
from containers.gang import read_gang


@pytest.fixture
def spec(tmp_path):
    """A run's spec, and a function that changes it and reads the gang."""
    keys = {
        "study": "s",
        "task": "t",
        "strategy": "split",
        "seed": 1,
        "parties": ["north"],
        "sites": ["north", "south"],
    }
    keys |= {"prepared": {name: str(tmp_path / name) for name in ("north", "south")}, "threads": 2}
    for folder in keys["prepared"].values():
        Path(folder).mkdir()

    def read(statistics=None, results="results", **changes):
        keys.update(changes)
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({key: value for key, value in keys.items() if value is not None}))
        return read_gang(path, statistics, tmp_path / "state", tmp_path / results)

    return read


def test_a_run_is_its_parties(spec):
    gang = spec()
    assert gang.name == "s/t/split/1"
    assert gang.parties == ("coordinator", "north")


def test_an_agreement_is_its_sites(spec):
    gang = spec(parties=None, strategy=None)
    assert gang.name == "s/t/agree/1"
    assert gang.sites == ("north", "south")
    assert spec(kind="agreement", parties=["north"]).sites == ("north", "south")


def test_a_site_is_shown_its_own_and_the_pool_all(spec, tmp_path):
    assert spec().shown_to("north") == (tmp_path / "north",)
    assert spec(parties=["pooled"]).shown_to("pooled") == (tmp_path / "north", tmp_path / "south")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parties": []}, "expected a list of at least one site"),
        ({"parties": "north"}, "expected a list"),
        ({"parties": ["north", "north"]}, "named twice"),
        ({"parties": ["coordinator"]}, "cannot be a site's name"),
        ({"parties": ["../north"]}, "cannot be a site's name"),
        ({"parties": ["east"]}, "names no folder for site 'east'"),
        ({"threads": 0}, "expected a whole number"),
        ({"threads": True}, "expected a whole number"),
        ({"prepared": None}, "expected a folder for each site"),
        ({"prepared": {"north": "/no/such/folder"}}, "are missing; prepare them first"),
        ({"results": "."}, "replaces all it finds there"),
        ({"results": "state/.."}, "replaces all it finds there"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(spec, changes, message):
    with pytest.raises(ConfigError, match=message):
        spec(**changes)


def test_missing_files_are_refused(spec, tmp_path):
    with pytest.raises(ConfigError, match="no such file; the agreement writes it"):
        spec(statistics=tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_gang(tmp_path / "none.json", None, tmp_path / "state", tmp_path / "results")
    for text in ("{", "[]"):
        (tmp_path / "spec.json").write_text(text)
        with pytest.raises(ConfigError, match=r"not JSON|found a list"):
            read_gang(tmp_path / "spec.json", None, tmp_path / "state", tmp_path / "results")


def test_a_file_in_a_folders_place_is_refused(spec, tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ConfigError, match="is a file, expected a folder"):
        spec()
