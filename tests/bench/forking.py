"""Parties forked from one process, so that none pays for another's imports, and files they wait for."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def forked(work: Callable[..., None], *given: Any) -> int:
    """Do the work in a process of its own with one thread, and give that."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        torch.set_num_threads(1)
        work(*given)
        status = 0
    except Exception:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def join(parties: list[int]) -> None:
    """Wait for all of them.

    Raises:
        RuntimeError: some failed.
    """
    failed = [party for party in parties if os.waitpid(party, 0)[1]]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(parties)} parties failed")


def write(path: Path, text: str) -> None:
    """Write a file that is whole as soon as it is there."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)
