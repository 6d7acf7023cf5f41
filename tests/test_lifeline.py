"""A party leaves when its standard input ends, whatever it is doing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
START = "import time\nfrom coordinator.lifeline import Lifeline\nline = Lifeline(grace_seconds={grace})\n"
LOOKS = "print('at work', flush=True)\nwhile True: line.check(); time.sleep(0.1)"
IGNORES = "print('at work', flush=True)\nwhile True: time.sleep(0.1)"


def started(work, grace=60):
    """Start a party whose standard input this test holds."""
    party = subprocess.Popen(
        [sys.executable, "-c", START.format(grace=grace) + work],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert party.stdout.readline() == "at work\n"
    return party


def test_a_party_that_looks_sees_the_end_of_file():
    party = started(LOOKS)
    assert party.poll() is None
    _, errors = party.communicate(timeout=60)
    assert party.returncode == 1
    assert "LifelineCut: the launcher closed this party's lifeline" in errors


def test_a_party_that_does_not_look_is_ended_after_its_grace():
    party = started(IGNORES, grace=0.2)
    party.communicate(timeout=60)
    assert party.returncode == 6


def test_what_is_written_on_the_line_means_nothing():
    party = started("print('at work', flush=True)\ntime.sleep(0.5)\nline.check()\nprint('still here')")
    party.stdin.write("stop\n" * 10_000)
    party.stdin.flush()
    assert party.stdout.readline() == "still here\n"
    party.communicate(timeout=60)
    assert party.returncode == 0


@pytest.mark.parametrize("program", ["coordinator serve", "sites join --site east"])
def test_the_programs_leave_with_the_lifeline_s_status(tmp_path, folder, program):
    """The real programs, waiting for each other over a socket, leave when their launcher is gone."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    run([*["coordinator", "keys", "--out"], keys, "coordinator", "east"])
    spec, statistics = write_spec(tmp_path)
    name = program.split()[0].replace("sites", "east")
    party = subprocess.Popen(
        [
            sys.executable, "-m", *program.split(), "--lifeline", "--spec", spec, "--statistics", statistics,
            "--endpoint", f"ipc://{keys}/c.ipc", "--secret", keys / f"{name}.secret",
            "--manifest", keys / "manifest.json", "--state", tmp_path / "state",
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _, errors = party.communicate(timeout=100)
    assert party.returncode == 6
    assert "lifeline" in errors
    assert '"cause": "lifeline"' in (tmp_path / "state" / "exit.json").read_text()


def run(words):
    subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True)


def write_spec(folder):
    """Write an agreement, whose site needs no more than prepared records of a few patients."""
    import numpy as np
    import pandas as pd

    from coordinator.specs import PREPARED_FORMAT, Agreement, write
    from sites.prepared import Count, Prepared, Summary
    from sites.prepared import write as write_prepared

    count = 40
    frame = pd.DataFrame(
        {
            "record": np.arange(count), "patient": np.arange(count), "label": np.arange(count) % 2,
            "role": ["development"] * 30 + ["test"] * 10, "age": np.linspace(20, 80, count),
        }
    )  # fmt: skip
    all_ = Count(records=count, patients=count, events=count // 2)
    summary = Summary(
        format=PREPARED_FORMAT, site="east", title="", source="test", modalities=("table",),
        features=({"name": "age", "kind": "numeric"},), records=count, patients=count, events=count // 2,
        roles={"development": all_}, quarantined={}, warnings=(),
    )  # fmt: skip
    write_prepared(folder / "prepared", Prepared(summary, frame), [])
    spec = Agreement(
        study="test", task="task", seed=0, sites=("east",), prepared={"east": str(folder / "prepared")},
        validation=0.1, missing="impute", min_cell=5, threads=1,
    )  # fmt: skip
    (folder / "statistics.json").write_text("{}")
    return write(spec, folder), folder / "statistics.json"
