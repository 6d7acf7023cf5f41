"""One attempt in a state folder: a log number of its own, and nothing final from an earlier one."""

import shutil
from pathlib import Path

from containers.gang import Gang

OF_AN_ATTEMPT = ("exit.json", "endpoint", "out")  # beside logs and commits, which stay


def clear(gang: Gang, *parties: str) -> None:
    """Make each party's folder, for its owner alone, and remove what an earlier attempt called final."""
    for party in parties or gang.parties:
        folder = gang.state / party
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in OF_AN_ATTEMPT:
            _remove(folder / name)


def forget_commits(gang: Gang) -> None:
    """Remove what a finished run could have gone on from."""
    for party in gang.parties:
        _remove(gang.state / party / "commits")


def next_attempt(gang: Gang) -> int:
    """Return the first number, from 1, that no party's log has yet."""
    found = [
        path.stem.removeprefix("log-")
        for party in gang.parties
        for path in (gang.state / party).glob("log-*.txt")
    ]
    return max((int(number) for number in found if number.isdecimal()), default=0) + 1


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
