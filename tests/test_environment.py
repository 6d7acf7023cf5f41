"""How `.venv` is made: when it is rebuilt, from where, and what is pinned."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import venv
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"coordinator", "sites", "containers", "tests"}


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "workflow" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment = load()


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty environment that counts as whole: nothing need be importable in it."""
    folder = tmp_path / ".venv"
    venv.create(folder, with_pip=False)
    monkeypatch.setattr(environment, "NAMES", ("json",))
    (folder / "stamp").write_text(environment.stamp(folder))
    return folder


def why(folder: Path) -> str:
    return str(environment.why_rebuild(folder, environment.stamp(folder)))


def test_a_sound_environment_is_kept(sound: Path) -> None:
    assert why(sound) == ""


def test_a_missing_one_is_made(tmp_path: Path) -> None:
    assert "none yet" in why(tmp_path / ".venv")


def test_an_interrupted_build_is_made_anew(sound: Path) -> None:
    (sound / "stamp").unlink()
    assert "did not end" in why(sound)


def test_one_without_its_python_is_broken(sound: Path) -> None:
    (sound / "bin" / "python").unlink()
    assert "broken" in why(sound)


@pytest.mark.parametrize("lost", ["a_package_that_is_not_there", "a_package_without_files"])
def test_one_that_lacks_a_package_is_broken(sound: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    packages = next((sound / "lib").glob("python*/site-packages"))
    (packages / "a_package_without_files").mkdir()
    monkeypatch.setattr(environment, "NAMES", ("json", lost))
    assert "broken" in why(sound)


@pytest.mark.parametrize("change", ["requirements", "folder", "index"])
def test_the_stamp_names_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = environment.stamp(tmp_path)
    if change == "requirements":
        for name in environment.REQUIREMENTS:
            (tmp_path / name).write_text("numpy==0\n")
        monkeypatch.setattr(environment, "ROOT", tmp_path)
    elif change == "index":
        monkeypatch.setenv("TORCH_INDEX", "elsewhere")
    assert environment.stamp(tmp_path / "moved" if change == "folder" else tmp_path) != before


def test_wheels_are_taken_from_a_folder_without_the_network(tmp_path: Path) -> None:
    arguments = environment.pip_arguments({"WHEELS": str(tmp_path), "TORCH_INDEX": ""})
    assert arguments[-6:-4] == ["--find-links", str(tmp_path)]
    assert "--no-index" in arguments
    assert "--extra-index-url" not in arguments
    assert "--extra-index-url" in environment.pip_arguments({"TORCH_INDEX": "elsewhere"})


def test_what_the_machine_lacks_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.what_is_lacking() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "apt-get install python3-venv" in environment.what_is_lacking()
    monkeypatch.setattr(environment, "OLDEST", (99, 0))
    assert "too old" in environment.what_is_lacking()


def test_a_failed_build_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    """Build for real from a folder without wheels, in a copy of the program."""
    for name in (*environment.REQUIREMENTS, "workflow/environment.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "empty").mkdir()
    outside = os.environ | {"WHEELS": str(tmp_path / "empty"), "PIP_FIND_LINKS": ""}
    command = [sys.executable, "-I", str(tmp_path / "workflow" / "environment.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=outside)
    assert done.returncode == 1
    assert "could not be made" in done.stderr
    assert not (tmp_path / ".venv" / "stamp").exists()


def pinned(*names: str) -> set[str]:
    lines = "".join((ROOT / name).read_text() for name in names).splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", entry) for entry in entries)
    return {entry.split("==")[0] for entry in entries}


def third_party_imports(*folders: str) -> set[str]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    ours = PACKAGES | {part for path in paths for part in (path.stem, path.parent.name)}
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - ours - set(sys.stdlib_module_names)


PEERS = {"flwr", "nvflare"}  # in environments of their own, pinned where tests/bench/peers makes these


def test_every_import_is_pinned() -> None:
    packages = packages_distributions()
    for folders, files in (
        (("coordinator", "sites", "containers", "workflow"), ("requirements.txt",)),
        (("tests",), environment.REQUIREMENTS),
    ):
        imported = third_party_imports(*folders) - PEERS
        needed = {packages[name][0].lower().replace("_", "-") for name in imported}
        assert needed <= pinned(*files)


def test_torch_is_pinned_to_one_version() -> None:
    assert "torch==2.13.0" in (ROOT / "requirements.txt").read_text().split()
