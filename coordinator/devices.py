"""Whether a party's device is there."""

import torch

from coordinator.algorithms.party import Party
from coordinator.errors import ConfigError


def check_device(party: Party, name: str) -> None:
    """Refuse a device that this party does not have, before it meets anyone.

    Raises:
        ConfigError: `cuda`, and torch finds no GPU.
    """
    if party.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"'{name}' is to compute on cuda, and torch {torch.__version__} finds no GPU here; set device: "
            "cpu for it (in the study, or in the site's file), or install a torch built for CUDA"
        )
