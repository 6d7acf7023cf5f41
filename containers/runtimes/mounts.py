"""How Apptainer and Docker are told of a bind: as one line of CSV."""

import csv
import io

from containers.sandbox import Bind


def mount(bind: Bind) -> str:
    """Write a mount so that a path may hold a comma, a colon or a quote."""
    words = ["type=bind", f"source={bind.source}", f"destination={bind.target}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*words, *(["readonly"] if bind.mode == "ro" else [])])
    return line.getvalue()
