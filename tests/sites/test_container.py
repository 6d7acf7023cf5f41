"""A site works in its own container or in nobody's."""

import pytest

from coordinator.errors import ConfigError
from sites import container


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
