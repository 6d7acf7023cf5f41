"""Lets the test modules of this folder share what they compare by."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """Bits are compared in every module here."""
