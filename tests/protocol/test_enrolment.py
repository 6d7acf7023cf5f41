"""A site's way onto the manifest and off it: by its own keys, which people compare."""

import json
import re

import pytest

from coordinator.__main__ import COMMANDS as OF_COORDINATOR
from coordinator.command_line import main
from coordinator.protocol.admission import Admitted
from coordinator.protocol.keys import read_manifest, read_secret
from sites.__main__ import COMMANDS as OF_SITES


@pytest.fixture
def coordinator(tmp_path):
    """Make the coordinator's lasting keys; give its manifest."""
    folder = tmp_path / "coordinator"
    folder.mkdir(mode=0o700)
    assert main("coordinator", OF_COORDINATOR, ["keys", "--out", str(folder), "coordinator"]) == 0
    return folder / "manifest.json"


@pytest.fixture
def enrolled(tmp_path, capsys):
    """Enrol a site; give its folder and the fingerprint it was told."""

    def enrol(site):
        folder = tmp_path / f"{site}_hospital"
        assert main("sites", OF_SITES, ["enrol", "--site", site, "--out", str(folder)]) == 0
        said = capsys.readouterr().out
        assert "secret" in said
        return folder, re.search(r"(?:[0-9a-f]{4}-){7}[0-9a-f]{4}", said)[0]

    return enrol


def admit(manifest, folder, site, fingerprint):
    words = ["admit", str(folder / f"{site}.request.json"), "--manifest", str(manifest)]
    return main("coordinator", OF_COORDINATOR, [*words, "--fingerprint", fingerprint])


def test_a_site_enrols_is_admitted_and_removed(coordinator, enrolled, capsys):
    folder, fingerprint = enrolled("north")
    secret = folder / "north.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    text = (folder / "north.request.json").read_text()
    assert not any(key in text for key in json.loads(secret.read_text()).values())
    listed = Admitted(coordinator, ["north", "south"])
    assert listed.keys() == {}
    assert admit(coordinator, folder, "north", fingerprint.upper()) == 0
    manifest = read_manifest(coordinator)
    assert list(manifest) == ["coordinator", "north"]
    assert read_secret(secret).curve != manifest["north"].curve
    assert listed.keys() == {manifest["north"].curve: "north"}
    assert main("coordinator", OF_COORDINATOR, ["remove", "north", "--manifest", str(coordinator)]) == 0
    assert listed.keys() == {}
    assert "removed 'north'" in capsys.readouterr().out


def test_a_request_that_is_not_the_site_s_is_refused(coordinator, enrolled, capsys):
    folder, _ = enrolled("north")
    _, other = enrolled("south")
    assert admit(coordinator, folder, "north", other) == 2
    assert "do not admit" in capsys.readouterr().err
    assert list(read_manifest(coordinator)) == ["coordinator"]


def test_no_name_and_no_key_stands_twice(coordinator, enrolled, tmp_path, capsys):
    folder, fingerprint = enrolled("north")
    assert admit(coordinator, folder, "north", fingerprint) == 0
    assert admit(coordinator, folder, "north", fingerprint) == 2
    assert "admitted already, with these keys" in capsys.readouterr().err
    request = json.loads((folder / "north.request.json").read_text())
    (folder / "thief.request.json").write_text(json.dumps({"thief": request["north"]}))
    assert admit(coordinator, folder, "thief", fingerprint) == 2
    assert "is that of 'north'" in capsys.readouterr().err


def test_enrolling_again_does_not_replace_keys(enrolled, tmp_path, capsys):
    folder, _ = enrolled("north")
    before = (folder / "north.secret").read_bytes()
    assert main("sites", OF_SITES, ["enrol", "--site", "north", "--out", str(folder)]) == 2
    assert "cannot be made" in capsys.readouterr().err
    assert (folder / "north.secret").read_bytes() == before


@pytest.mark.parametrize("name", ["coordinator", "North", "../north", ""])
def test_a_name_no_site_can_have_is_refused(tmp_path, capsys, name):
    assert main("sites", OF_SITES, ["enrol", "--site", name, "--out", str(tmp_path / "keys")]) == 2
    assert "--site" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


def test_removing_a_stranger_is_refused(coordinator, capsys):
    assert main("coordinator", OF_COORDINATOR, ["remove", "north", "--manifest", str(coordinator)]) == 2
    assert "no 'north'" in capsys.readouterr().err
