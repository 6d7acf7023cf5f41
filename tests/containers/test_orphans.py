"""Nobody stays, whoever dies first."""

import os
import signal
import subprocess
import sys

import pytest

from containers.errors import ConfigError
from containers.lifetime import hold
from tests.containers import gangs
from tests.containers.gangs import FOREVER, SITES, command, end_of, environment, nobody_left, start_launcher

ALL_FOREVER = dict.fromkeys(("coordinator", *SITES), FOREVER)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_launcher_ends_all_in_order(folder, number, status):
    launcher = start_launcher(folder, ALL_FOREVER)
    launcher.send_signal(number)
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == status
    assert f"stopped by {number.name}" in said
    assert {end_of(folder, party)["cause"] for party in SITES} == {"lifeline"}
    assert not list((folder / "run").iterdir())
    nobody_left(folder)


def test_a_killed_launcher_leaves_nobody(folder):
    launcher = start_launcher(folder, ALL_FOREVER)
    launcher.kill()
    launcher.communicate()
    nobody_left(folder)
    assert {end_of(folder, party)["cause"] for party in ("coordinator", *SITES)} == {"lifeline"}


def test_a_killed_parent_takes_launcher_and_parties_along(folder):
    """As Snakemake does it: a shell that the parent's thread started becomes the launcher."""
    words = " ".join(f"'{word}'" for word in command(folder, ALL_FOREVER))
    parent_program = f"import subprocess; subprocess.run(['bash', '-c', {f'exec {words} --parent $PPID'!r}])"
    parent = subprocess.Popen([sys.executable, "-c", parent_program], env=environment(folder))
    gangs.wait_for(lambda: gangs.all_at_work(folder))
    parent.kill()
    parent.wait()
    nobody_left(folder)
    assert not list((folder / "run").iterdir())  # the launcher had the time to put its things away


def test_a_launcher_whose_parent_is_gone_does_not_start(folder):
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = subprocess.run(
        command(folder, {}, "--parent", str(gone.pid)),
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 143
    assert "is gone" in done.stderr
    assert not (folder / "state").exists()


def test_the_next_launcher_waits_for_the_parties_of_a_killed_one(folder):
    """A party that is slow to leave must not write beside the next attempt."""
    slow = dict(ALL_FOREVER, north={"stubborn": True, "lingers": 3, "out": {"late": "of the first attempt"}})
    launcher = start_launcher(folder, slow)
    launcher.kill()
    launcher.communicate()
    assert not (folder / "state" / "north" / "exit.json").exists()
    again = gangs.launched(folder, {})
    assert again.returncode == 0, again.stderr
    nobody_left(folder)
    assert not (folder / "state" / "north" / "out" / "late").exists()
    assert not (folder / "results" / "late").exists()


def test_two_launchers_do_not_share_a_state_folder(folder):
    held = hold(folder / "state")
    try:
        with pytest.raises(ConfigError, match=f"started as process {os.getpid()}"):
            hold(folder / "state", seconds=0.2)
    finally:
        os.close(held)
