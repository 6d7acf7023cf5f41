"""What goes into an image, and what makes two builds equal."""

import ast
import json
import os
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from containers.errors import ConfigError
from containers.images import closure, furnishing
from containers.images.furnishing import furnished, working_folder
from containers.images.manifest import digest, manifest, settle
from containers.images.recipe import COORDINATOR, RECIPES, SITE
from containers.images.skeleton import lay_out
from containers.images.source import copy_packages, files_of, labels, source_hash
from containers.images.texts import texts
from containers.recipes import FOLDER
from containers.sandbox import Bind, Sandbox

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_written_recipes_are_those_of_the_source():
    """`python -m containers recipes` brings them up to date."""
    assert {name: (FOLDER / name).read_text() for name in texts()} == texts()


@pytest.mark.parametrize("name", texts())
def test_every_step_of_a_recipe_can_fail_the_build(name):
    text = texts()[name]
    assert "&& (" in text or name.endswith(".def")
    assert all("|| true)" in line for line in text.splitlines() if "|| true" in line)


def test_the_coordinators_image_has_nothing_that_reads_records():
    assert set(COORDINATOR.packages) == {"coordinator"}
    assert not {"pandas", "pydicom", "meds", "pillow", "python-gdcm"} & set(COORDINATOR.distributions)
    assert "sites" not in texts()["coordinator.Containerfile"]
    assert "pydicom" not in texts()["coordinator.def"]


def test_the_sites_image_has_no_server(tmp_path):
    copy_packages(SITE, tmp_path)
    assert (tmp_path / "sites" / "__main__.py").is_file()
    assert (tmp_path / "coordinator" / "protocol" / "channel.py").is_file()
    assert not (tmp_path / "coordinator" / "server").exists()
    assert not list(tmp_path.rglob("__pycache__"))


def test_packages_are_pinned():
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in pins if "==" in line}
    assert {name for recipe in RECIPES.values() for name in recipe.distributions} <= pinned


def test_an_image_carries_all_of_a_package_that_python_and_data_are():
    suffixes = {
        path.suffix
        for name in ("coordinator", "sites")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    shipped = {path.suffix for name in ("coordinator", "sites") for path in files_of(name, ())}
    assert suffixes - {".pyc"} == shipped


def test_labels_name_version_source_and_licence(monkeypatch, tmp_path):
    found = labels(COORDINATOR)
    assert found["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert found["org.opencontainers.image.version"].count(".") == 2
    assert found["suture.source"] == source_hash(COORDINATOR) != source_hash(SITE)


def tree(folder):
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "run").write_text("x")
    (folder / "a" / "run").chmod(0o700)
    (folder / "b").write_text("y")
    (folder / "c").symlink_to("b")
    return folder


def test_equal_trees_have_equal_manifests_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    one = tree(tmp_path / "one")
    os.umask(0o022)
    two = tree(tmp_path / "two")
    os.umask(before)
    assert manifest(one) != manifest(two)
    for root in (one, two):
        settle(root)
    assert manifest(one) == manifest(two)
    assert [line.split()[:2] for line in manifest(one)] == [
        ["a", "0755"], ["a/run", "0755"], ["b", "0644"], ["c", "0777"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "b").write_text("z"),
        lambda root: (root / "b").chmod(0o755),
        lambda root: (root / "d").mkdir(),
        lambda root: ((root / "c").unlink(), (root / "c").symlink_to("a")),
    ],
)
def test_any_difference_shows_in_the_content_hash(tmp_path, change):
    root = tree(tmp_path / "one")
    before = digest(manifest(root))
    change(root)
    assert digest(manifest(root)) != before


def distribution(folder, name, *requires):
    info = folder / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{needs}")
    (folder / f"{name}.py").touch()
    (info / "RECORD").write_text(f"{name}.py,,\nshared.py,,\n{name}-1.dist-info/METADATA,,\n")


def test_the_coordinators_wheels_are_what_its_own_need(tmp_path):
    distribution(tmp_path, "torch", "sympy>=1", "nothing; extra == 'all'", "old; python_version < '3'")
    for name in ("sympy", "pandas", "nothing", "old"):
        distribution(tmp_path, name)
    kept = closure.needed(tmp_path, ["Torch"])
    assert kept == {"torch", "sympy"}
    gone = {path.name for path in closure.files_beyond(tmp_path, kept)}
    assert {"pandas.py", "nothing.py", "old.py"} <= gone
    assert not {"torch.py", "sympy.py", "shared.py"} & gone


def test_a_skeleton_holds_no_file(tmp_path):
    lay_out(tmp_path)
    assert {"usr", "proc", "dev", "tmp", "etc"} <= {path.name for path in tmp_path.iterdir()}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]


PYTHON = sys.executable
SITES = Sandbox(
    command=(PYTHON, "-m", "sites", "join"), environment={"PATH": "/x", "PYTHONPATH": "/y", "TZ": "UTC"}
)


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTURE_IMAGE_FOLDER", str(tmp_path))
    for name in ("site", "coordinator"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"sif": f"/i/{name}.sif", "digest": name * 3}))
    return monkeypatch


def test_a_command_runs_in_the_image_that_holds_its_program(images):
    images.setenv("SUTURE_IMAGES", "built")
    found = furnished(SITES, "sif")
    assert found.image == "/i/site.sif"
    assert found.command == ("python3", "-m", "sites", "join")
    assert found.environment == {"TZ": "UTC", "USER": "suture", "PATH": furnishing.PATH_INSIDE}
    other = Sandbox(command=(PYTHON, "workflow/scripts/report.py"))
    assert furnished(other, "sif") == other
    assert furnishing.digests("sif") == {"coordinator": "coordinator" * 3, "site": "site" * 3}


@pytest.mark.parametrize(("word", "kind"), [("host", "sif"), ("", "sif"), ("auto", "")])
def test_elsewhere_the_hosts_programs_run(images, word, kind):
    images.setenv("SUTURE_IMAGES", word)
    assert furnished(SITES, kind) == SITES
    assert furnishing.digests(kind) == {}


def test_what_cannot_be_had_is_said(images, tmp_path):
    images.setenv("SUTURE_IMAGES", "built")
    with pytest.raises(
        ConfigError, match="this runtime has none; choose apptainer or docker, or images: host"
    ):
        furnished(SITES, "")
    (tmp_path / "site.json").unlink()
    with pytest.raises(
        ConfigError, match=r"site\.json: the site image is not there; build it: make containers"
    ):
        furnished(SITES, "sif")
    images.setenv("SUTURE_IMAGES", "maybe")
    with pytest.raises(ConfigError, match="found 'maybe', expected one of auto, built, host"):
        furnished(SITES, "sif")


def test_a_command_starts_where_it_was_asked_to_if_that_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(command=("true",))
    assert working_folder(sandbox, [Bind(tmp_path / "a", tmp_path / "a")]) == tmp_path
    assert working_folder(sandbox, [Bind(tmp_path.parent, tmp_path.parent)]) == tmp_path
    assert working_folder(sandbox, [Bind(Path("/usr"), Path("/usr"))]) == Path("/")


def imported(name, left_out):
    """Name the packages of others that one of ours imports, at its top or late."""
    trees = [ast.parse(path.read_text()) for path in files_of(name, left_out) if path.suffix == ".py"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return (
        {found.split(".")[0] for found in whole | parts} - sys.stdlib_module_names - {"coordinator", "sites"}
    )


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_an_image_has_the_distribution_of_each_import(recipe):
    installed = Path(pytest.__file__).parent.parent
    inside = closure.needed(installed, recipe.distributions)
    origins = packages_distributions()
    for name in sorted(set().union(*(imported(*package) for package in recipe.packages.items()))):
        assert {canonicalize_name(origin) for origin in origins.get(name, [name])} & inside, name
