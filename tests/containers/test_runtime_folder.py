"""The private folder of a gang."""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from containers.errors import ConfigError
from containers.runtime_folder import LONGEST_SOCKET_PATH, bases, runtime_folder, socket_path, sweep

LONG_AGO = time.time() - 3600


def test_it_is_private_and_short_and_goes_whatever_happens(folder):
    with suppress(RuntimeError), runtime_folder([folder]) as runtime:
        (runtime / "north.secret").write_text("secret")
        assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
        assert len(str(socket_path(runtime))) <= LONGEST_SOCKET_PATH
        assert socket_path(runtime).parent.is_dir()
        raise RuntimeError("whatever")
    assert not runtime.exists()


def test_a_place_that_is_too_long_is_passed_over(folder):
    long = folder / ("x" * 90)
    long.mkdir()
    with runtime_folder([long, folder / "missing", folder]) as runtime:
        assert runtime.parent == folder


def test_no_place_is_a_sentence(folder):
    long = folder / ("x" * 90)
    long.mkdir()
    with (
        pytest.raises(ConfigError, match="at most 107 characters; set XDG_RUNTIME_DIR"),
        runtime_folder([long]),
    ):
        pass


def test_the_users_runtime_folder_comes_first(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert bases()[0] == Path("/run/user/7")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert bases()[-1] == Path("/tmp")


def left_behind(folder, *, mode=0o700, mtime=LONG_AGO, **more):
    """Make what a killed launcher leaves; `more` is what it would not."""
    (folder / "socket").mkdir(parents=True)
    for name in ("coordinator.secret", "manifest.json", *more):
        (folder / name).write_text("")
    folder.chmod(mode)
    os.utime(folder, (mtime, mtime))
    return folder


def test_what_a_killed_launcher_left_is_swept_and_nothing_else(folder):
    left_behind(folder / "suture-gang-left")
    left_behind(folder / "suture-gang-young", mtime=time.time())
    left_behind(folder / "suture-gang-open", mode=0o755)
    left_behind(folder / "suture-gang-mine", thesis="")
    left_behind(folder / "suture-backup")
    descriptor = os.open(left_behind(folder / "suture-gang-held"), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    sweep(folder)
    os.close(descriptor)
    kept = {f"suture-gang-{name}" for name in ("young", "open", "mine", "held")}
    assert {path.name for path in folder.iterdir()} == {*kept, "suture-backup"}


def test_a_link_is_not_followed(folder):
    precious = folder / "precious"
    left_behind(precious)
    (folder / "suture-gang-link").symlink_to(precious)
    os.utime(folder / "suture-gang-link", (LONG_AGO, LONG_AGO), follow_symlinks=False)
    sweep(folder)
    assert (precious / "coordinator.secret").exists()
