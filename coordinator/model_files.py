"""A party's parts as safetensors, and the hash by which runs are compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn

from coordinator.algorithms.tensors import apart
from coordinator.outcome import write_bytes


def write_parts(parts: Mapping[str, nn.Module], party: str, folder: Path) -> dict[str, str]:
    """Write ``PARTY.safetensors`` and give the sha256 of each part's tensors."""
    tensors = {
        f"{name}/{key}": value for name, part in parts.items() for key, value in part.state_dict().items()
    }
    if tensors:
        write_bytes(folder / f"{party}.safetensors", save(apart(tensors)))
    return {
        name: hashlib.sha256(save(apart(dict(part.state_dict())))).hexdigest() for name, part in parts.items()
    }


def weights_file(hashes: Mapping[tuple[str, str], str]) -> str:
    """Give ``weights.sha256``: the hash of the sorted ``part, party, sha256`` lines, then the lines.

    Args:
        hashes: (party, part) to sha256.
    """
    lines = sorted(f"{part}, {party}, {value}" for (party, part), value in hashes.items())
    total = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return "\n".join([total, *lines]) + "\n"
