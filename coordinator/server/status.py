"""How a run stands, in ``status.json``: what ``python -m coordinator status`` reads."""

import json
import os
import time
from pathlib import Path
from typing import Any

from coordinator.protocol.channel import CoordinatorChannel
from coordinator.specs import Run
from coordinator.status import STATUS


class Status:
    """Writes the file, whole each time; it says nothing of what becomes of its process (`lease.is_held`)."""

    def __init__(self, state: Path, run: Run, channel: CoordinatorChannel) -> None:
        """Know nothing of a commit yet."""
        self._path, self._run, self._channel = state / STATUS, run, channel
        self._now: dict[str, Any] = {"commit": -1, "round": 0, "trial": 0, "generation": 0, "outside": {}}

    def tell(self, phase: str, waiting_for: list[str] | None = None, **now: Any) -> None:
        """Write how it stands now: the phase, whom it waits for, and what changed."""
        run, absent = self._run, waiting_for or []
        self._now |= now
        whole = {
            "run": f"{run.study}/{run.task}/{run.strategy}/{run.seed}",
            "phase": phase,
            "connected": [site for site in self._channel.sites if site not in absent],
            "waiting_for": absent,
            "rounds": run.training.rounds,
            "trials": len(run.training.learning_rates),
            "written": time.time(),
            **self._now,
        }
        partial = self._path.with_name(f".{STATUS}.{os.getpid()}.partial")
        partial.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        partial.rename(self._path)  # not synced: of a moment, and worth nothing after a power cut
