"""What tests of every tier share: where real data lies, and what a machine must have."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder with a short path, wherever temporary ones lie: a socket's has at most 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread, as a party does: the order of a sum is part of its bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
