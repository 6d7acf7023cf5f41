"""Which code runs: a hash of a package's sources."""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_hash(package: str = "coordinator") -> str:
    """Hash a package's sources (sha256, hex); by default the coordinator's, which train."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    root = Path(found.origin).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(f"{path.relative_to(root)}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()
