"""What tests of every tier share: where real data lies, and what a machine must have."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.runtimes import problem
from tests.docker_daemon import asked_for, daemon

ROOT = Path(__file__).resolve().parent.parent


def require(name: str, missing: str) -> None:
    """Skip by name, or fail where SUTURE_REQUIRE says that this machine has it."""
    if name in os.environ.get("SUTURE_REQUIRE", "").split(","):
        pytest.fail(f"SUTURE_REQUIRE has '{name}', but {missing}")
    pytest.skip(f"{name}: {missing}")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Name the folder with the hospitals' files: SUTURE_DATA_ROOT, or ../shared/data."""
    folder = Path(os.environ.get("SUTURE_DATA_ROOT") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        require("data", f"{folder} is no folder; config/studies/README.md says where to get the files")
    return folder


# what SUTURE_REQUIRE calls each runtime with walls
PROGRAMS = {"apptainer": "apptainer", "docker": "docker", "bubblewrap": "bwrap"}


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[None]:
    """Have Docker answer, if the tests are to have it."""
    with daemon():
        yield


@pytest.fixture(params=list(PROGRAMS))
def walls(request: pytest.FixtureRequest) -> str:
    """Name each runtime with walls; one that does not work here is a named skip."""
    name = str(request.param)
    if name == "docker":
        if not asked_for():
            pytest.skip("docker: a daemon is started only where SUTURE_REQUIRE asks for it")
        request.getfixturevalue("docker_daemon")
    if found := problem(name):
        require(PROGRAMS[name], found)
    return name


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread, as a party does: the order of a sum is part of its bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
