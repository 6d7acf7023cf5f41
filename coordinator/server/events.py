"""How the launcher hears how far a run is: lines of JSON on standard output."""

import json
import sys
from typing import Any


def say(**event: Any) -> None:
    """Say one event."""
    print(json.dumps(event), flush=True)


def still_waiting(absent: list[str]) -> None:
    """Say which sites have not come yet, in the log and to the launcher."""
    say(event="waiting", sites=absent)
    print(f"still waiting for {', '.join(absent)}: see their logs", file=sys.stderr, flush=True)
