"""Lets the test modules of this folder share what they compare by."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
