"""A site's own container: the shared image below, and above it that site's config and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from containers import layers
from containers.errors import ConfigError
from containers.images import base, layer
from containers.images.layer import digests_of, lay
from containers.images.recipe import SITE
from containers.images.source import labels
from containers.runtimes import apptainer, problem
from containers.sandbox import Sandbox
from tests.conftest import ROOT, require
from tests.containers.drive import STUB
from tests.containers.gangs import SITES, environment, launched, seen_by

INSIDE = "/etc/suture/site.yaml"
FOUR = ("north", "south", "east", "west")


@pytest.fixture
def laid(folder, monkeypatch):
    """Lay four hospitals' configs, as `python -m containers layers` does."""
    configs = folder / "configs"
    configs.mkdir()
    for site in FOUR:
        (configs / f"{site}.yaml").write_text(f"name: {site}\ntitle: {site} hospital\n")
    monkeypatch.setenv("SUTURE_LAYERS", str(folder / "layers"))
    build(*(str(configs / f"{site}.yaml") for site in FOUR))
    return folder / "layers"


def build(*files):
    """Run the command."""
    parser = layers.argparse.ArgumentParser()
    layers.add_arguments(parser)
    assert layers.run(parser.parse_args(["--quiet", *files])) == 0


def config_of(laid, site):
    return (laid.parent / "configs" / f"{site}.yaml").read_text()


def everything(laid):
    """Name each file of each layer, with its bytes, inode and time."""
    return {
        path.relative_to(laid).as_posix(): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(laid.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_a_layer_holds_that_sites_config_and_nothing_else(laid):
    for site in FOUR:
        files = [path.relative_to(laid / site).as_posix() for path in (laid / site).rglob("*")]
        assert sorted(files) == ["etc", "etc/suture", "etc/suture/site.yaml"]
        assert (laid / site / INSIDE[1:]).read_text() == config_of(laid, site)
    assert len(set(digests_of(FOUR).values())) == 4


def test_four_layers_are_kilobytes_since_none_holds_the_image(laid):
    assert sum(len(content) for content, *_ in everything(laid).values()) < 4 * 8 * 1024


def test_another_config_is_another_layer_of_that_site_alone(laid, monkeypatch):
    before, hashes, image = everything(laid), digests_of(FOUR), labels(SITE)
    changed = laid.parent / "configs" / "south.yaml"
    changed.write_text(changed.read_text() + "allow_recording: true\n")
    monkeypatch.setattr(base, "install_wheels", lambda root: pytest.fail("a base was built"))
    build(*map(str, sorted(changed.parent.glob("*.yaml"))))
    assert {name.partition("/")[0].partition(".")[0] for name, found in everything(laid).items()
            if found != before[name]} == {"south"}  # fmt: skip
    assert {site for site, found in digests_of(FOUR).items() if found != hashes[site]} == {"south"}
    # what the shared image is known by does not change with a site
    assert labels(SITE) == image


def test_what_is_laid_is_not_laid_again(laid):
    before = everything(laid)
    build(*(str(laid.parent / "configs" / f"{site}.yaml") for site in FOUR))
    assert everything(laid) == before


def test_a_resolved_config_is_laid_under_its_sites_name(laid, folder):
    (folder / "site-0a1b.json").write_text('{"name": "north"}')
    build(f"north={folder / 'site-0a1b.json'}")
    assert (laid / "north" / INSIDE[1:]).read_text() == '{"name": "north"}'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["north.yaml", "north=south.yaml"], "a site is named twice"),
        (["missing.yaml"], "cannot be read"),
        (["../=north.yaml"], "cannot be a site's name; write SITE=FILE"),
        (["pooled=north.yaml"], "'pooled' cannot be a site's name"),
        (["records.yaml"], "70000 bytes are no site's config"),
    ],
)
def test_what_is_no_sites_config_is_refused(laid, monkeypatch, files, said):
    monkeypatch.chdir(laid.parent / "configs")
    Path("records.yaml").write_text("x" * 70_000)
    with pytest.raises(ConfigError, match=said):
        build(*files)


def inside(walls, folder, *options):
    """Look around within walls: what is there of the layers, and what can be written."""
    places = [INSIDE, str(Path(INSIDE).parent), str(folder / "layers"), str(folder / "configs")]
    words = [sys.executable, "-m", "containers", "run", "--runtime", walls, *options]
    done = subprocess.run(
        [*words, "--", "python", STUB, "look", *places], cwd=ROOT, env=environment(folder),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_within_a_sites_walls_its_layer_is_read_only_and_no_other_is_there(walls, laid, folder):
    seen = inside(walls, folder, "--site", "north")
    assert seen["there"] == [INSIDE, "/etc/suture"]
    assert seen["writable"] == []
    assert inside(walls, folder)["there"] == []


def test_each_site_of_a_gang_has_its_own_and_the_coordinator_none(walls, laid, folder):
    reads = [INSIDE, *(str(laid / site / INSIDE[1:]) for site in SITES)]
    does = {party: {"reads": reads} for party in ("coordinator", *SITES)}
    done = launched(folder, does, "--runtime", walls)
    assert done.returncode == 0, done.stderr
    for site in SITES:
        assert seen_by(folder, site)["read"] == {INSIDE: config_of(laid, site)}
    assert seen_by(folder, "coordinator")["read"] == {}
    found = json.loads((folder / "results" / "isolation.json").read_text())
    assert found["layers"] == digests_of(SITES)


def test_plain_processes_are_in_no_sites_container(laid, folder):
    assert launched(folder, {}, "--runtime", "host").returncode == 0
    assert "layers" not in json.loads((folder / "results" / "isolation.json").read_text())


def test_a_layer_is_a_file_system_for_apptainer_too(laid):
    """As a hospital starts its container by hand: `apptainer exec --overlay north.sqfs:ro site.sif ...`."""
    if found := problem("apptainer"):
        require("apptainer", found)
    overlay = ("--overlay", f"{laid / 'east.sqfs'}:ro")
    program, silent, start, *rest = apptainer.argv(Sandbox(command=("cat", INSIDE)))
    assert start == "exec"
    done = subprocess.run(
        [program, silent, start, *overlay, *rest], cwd="/", capture_output=True, text=True, timeout=60
    )
    assert done.stdout == config_of(laid, "east"), done.stderr


def test_without_its_program_a_layer_is_a_folder_alone(laid, monkeypatch):
    monkeypatch.setattr(layer.shutil, "which", lambda name: None)
    lay("north", laid.parent / "configs" / "south.yaml", laid)
    assert not (laid / "north.sqfs").exists()
    assert (laid / "north" / INSIDE[1:]).read_text() == config_of(laid, "south")
