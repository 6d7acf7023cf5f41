"""Gangs of stubs for tests, the launcher as a process, and a look at who is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DRIVE = str(Path(__file__).with_name("drive.py"))
FOREVER = {"seconds": 300}
SITES = ("north", "south")


def write_spec(folder, does, sites=SITES, **keys):
    """Write a run's spec whose parties do what `does` says; returns the launcher's options."""
    prepared = {site: folder / "prepared" / site for site in sites}
    for path in prepared.values():
        path.mkdir(parents=True, exist_ok=True)
    spec = {
        "study": "test", "task": "task", "strategy": "split", "seed": 0, "sites": sites, "parties": sites,
        "prepared": {site: str(path) for site, path in prepared.items()}, "threads": 1, "stub": does, **keys,
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    options = {"spec": "spec.json", "state": "state", "results": "results"}
    return [word for name, path in options.items() for word in (f"--{name}", str(folder / path))]


def environment(folder):
    """Give the launcher's environment, with a place of this test's own for runtime folders."""
    (folder / "run").mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(folder / "run"), "TOKEN": "private"}
    # not the layers that were laid in this checkout
    return {**os.environ, "SUTURE_RUNTIME": "host", "SUTURE_LAYERS": str(folder / "layers"), **own}


def command(folder, does, *options, **keys):
    """Give the launcher's command line."""
    return [sys.executable, DRIVE, *write_spec(folder, does, **keys), *options]


def launched(folder, does, *options, **keys):
    """Launch a gang and wait for its end."""
    return subprocess.run(
        command(folder, does, *options, **keys),
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
    )


def heed_signals():
    """Undo what a process inherits from who ignores signals."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def start_launcher(folder, does, *options):
    """Start a launcher and wait until every party is at work.

    It heeds signals, also where the tests themselves were started by nohup or in a script's background.
    """
    launcher = subprocess.Popen(
        command(folder, does, *options),
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    wait_for(lambda: all_at_work(folder))
    return launcher


def all_at_work(folder):
    return all((folder / "state" / party / "seen.json").exists() for party in ("coordinator", *SITES))


def left(folder):
    """List the processes that name this folder in their command line, or work there."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            works_there = (path / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue
        if (works_there or str(folder) in words) and int(path.name) != os.getpid():
            found.append(words)
    return found


def wait_for(true, seconds=60):
    """Wait until something is so; the bound is generous, since machines are slow at times."""
    give_up = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < give_up, "did not come true"
        time.sleep(0.05)
    return found


def nobody_left(folder):
    wait_for(lambda: not left(folder))


def end_of(folder, party):
    """Read how a party ended."""
    return json.loads((folder / "state" / party / "exit.json").read_text())


def seen_by(folder, party):
    """Read what a party saw of its surroundings."""
    return json.loads((folder / "state" / party / "seen.json").read_text())
