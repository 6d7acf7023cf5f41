"""Images for real: built, looked at from inside, and a study run in them to the same bits."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from containers.images.furnishing import folder_of_images
from containers.runtimes import problem
from tests.conftest import ROOT, asked_for, require
from tests.e2e.checkout import snakemake
from tests.system.test_walls import WEIGHTS, study

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: the first build makes the base

# every module of ours, but the entry points, which run when imported
IMPORT_ALL = """
import importlib, json, pkgutil, sys
failed = {}
for package in sys.argv[1:]:
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except Exception as error:
                failed[found.name] = repr(error)
wanted = ("sites", "pandas", "pydicom", "coordinator.server")
there = [name for name in wanted if importlib.util.find_spec(name)]
print(json.dumps({"failed": failed, "there": there}))
"""

# a party's first optimizer step makes torch import as many modules again as its own import does
STEP_ONCE = """
import importlib.util, os, sys
import torch
weights = torch.nn.Parameter(torch.ones(1))
torch.optim.Adam([weights]).step()
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
read = [name for name in files if os.path.isabs(name) and name.endswith(".py")]
bare = [name for name in read if not os.path.exists(importlib.util.cache_from_source(name))]
print(sum(map(os.path.getsize, bare)))
"""


@pytest.fixture(scope="module")
def images() -> Path:
    """Build both images for Apptainer, or find them built."""
    asked_for("images", "they are built")
    if found := problem("apptainer"):
        require("apptainer", found)
    if not shutil.which("mmdebstrap"):
        require("mmdebstrap", "it is missing, and images are built by it (Debian: mmdebstrap)")
    words = [sys.executable, "-m", "containers", "build", "--for", "sif"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder_of_images()


def inside(images: Path, name: str, *command: str) -> str:
    """Run a command in an image, without any wall of ours."""
    outside = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}
    walls = ("--containall", "--no-home", "--no-privs", "--net", "--network", "none")
    words = ["apptainer", "--silent", "exec", *walls, str(images / f"{name}.sif"), *command]
    done = subprocess.run(words, cwd="/", env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "packages", "there"),
    [
        ("coordinator", ["coordinator"], ["coordinator.server"]),
        ("site", ["coordinator", "sites"], ["sites", "pandas", "pydicom"]),
    ],
)
def test_an_image_holds_what_its_programs_import_and_no_more(
    images: Path, name: str, packages: list[str], there: list[str]
) -> None:
    found = json.loads(inside(images, name, "env", "USER=suture", "python3", "-c", IMPORT_ALL, *packages))
    assert found == {"failed": {}, "there": there}


@pytest.mark.parametrize("name", ["coordinator", "site"])
def test_an_image_is_small_and_says_what_it_is(images: Path, name: str) -> None:
    assert (images / f"{name}.sif").stat().st_size <= 300e6
    record = json.loads((images / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads(inside(images, name, "cat", "/opt/suture/image.json")) == record["labels"]
    lines = (images / f"{name}.manifest").read_text(encoding="utf-8").splitlines()
    assert len(lines) == record["files"]
    # what was listed is what is inside
    line = next(line for line in lines if line.startswith("opt/suture/coordinator/__init__.py "))
    assert (
        inside(images, name, "sha256sum", "/opt/suture/coordinator/__init__.py").split()[0] == line.split()[2]
    )


def test_a_start_compiles_next_to_nothing(images: Path) -> None:
    assert int(inside(images, "site", "env", "USER=suture", "python3", "-c", STEP_ONCE)) < 100_000  # bytes


def test_what_is_built_is_not_built_again(images: Path) -> None:
    words = [sys.executable, "-m", "containers", "build", "--for", "sif"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_study_in_images_gives_the_same_weights_and_names_them(
    images: Path, reference: Mapping[str, bytes], tmp_path: Path
) -> None:
    within = tmp_path / "within"
    snakemake(
        within, *study(within, "apptainer", rounds=2, images="built"), "--", "results/ci/provenance.json"
    )
    assert {name: (within / name).read_bytes() for name in WEIGHTS} == reference
    hashes = json.loads((within / "results" / "ci" / "provenance.json").read_text(encoding="utf-8"))["hashes"]
    for name in ("coordinator", "site"):
        record = json.loads((images / f"{name}.json").read_text(encoding="utf-8"))
        assert hashes["images"][name] == [record["digest"]]
