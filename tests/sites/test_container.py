"""A site works in its own container or in nobody's."""

import pytest

from coordinator import specs
from coordinator.command_line import main
from coordinator.config import Data, Site, Split
from coordinator.errors import ConfigError
from coordinator.specs import Preparation
from sites import container
from sites.__main__ import COMMANDS


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "CONFIG", tmp_path / "site.yaml")
    return tmp_path / "site.yaml"


def test_where_no_config_is_any_site_may_work(config):
    container.check_container("south")


def test_a_site_works_in_its_own_container_and_in_no_other(config):
    config.write_text("name: north\ntitle: North hospital\n")
    container.check_container("north")
    with pytest.raises(ConfigError, match="this container is that of 'north', and 'south' was to work in it"):
        container.check_container("south")


def test_what_is_no_sites_config_is_named_by_its_line(config):
    config.write_text("name: north\npassword: secret\n")
    with pytest.raises(ConfigError, match=r"site\.yaml:2: unknown key 'password'"):
        container.check_container("north")


def preparation(tmp_path):
    """Write what south's preparation is to do."""
    site, data = Site(name="south"), Data(source="breast_cancer")
    spec = Preparation(
        site=site, data=data, modalities=("table",), split=Split(), split_seed=0, min_patients=1, min_cell=1
    )
    return str(specs.write(spec, tmp_path))


PARTY = ("--site", "south", "--spec", "spec.json", "--state", "state")
KEYS = ("--endpoint", "ipc://x", "--secret", "secret", "--manifest", "manifest")
WORK = (("join", *PARTY, *KEYS), ("gate", *PARTY, *KEYS, "--listen", "door"), ("prepare", "--input", "."))


@pytest.mark.parametrize(
    "words",
    [("join", *PARTY, *KEYS), ("gate", *PARTY, *KEYS, "--listen", "door"), ("prepare", "--input", ".")],
)
def test_whatever_a_site_does_it_looks_whose_container_it_is_in(config, tmp_path, monkeypatch, capsys, words):
    config.write_text("name: north\n")
    monkeypatch.chdir(tmp_path)
    own = ("--spec", preparation(tmp_path)) if words[0] == "prepare" else ()
    assert main("sites", COMMANDS, [*words, *own]) == 2
    assert "this container is that of 'north'" in capsys.readouterr().err
