"""How a party's run ended: exit.json, and the exit status."""

import errno
import json
import os
import resource

import pytest

from coordinator.errors import ConfigError, DataError, PeerLost, ProtocolError
from coordinator.lifeline import LifelineCut
from coordinator.outcome import recorded, write_bytes, write_json

ENDS = {
    ConfigError: ("config", 2),
    DataError: ("data", 2),
    ProtocolError: ("protocol", 4),
    PeerLost: ("peer_lost", 5),
    LifelineCut: ("lifeline", 6),
}


def ending(tmp_path, work):
    """Record some work; give its status and what exit.json says."""
    status = recorded("east", tmp_path / "state", work)
    return status, json.loads((tmp_path / "state" / "exit.json").read_text())


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes")]
)
def test_memory_that_ran_out_is_a_cause_of_its_own(tmp_path, error):
    status, found = ending(tmp_path, raising(error))
    assert (status, found["cause"]) == (1, "memory")
    assert "`memory_mb`" in found["message"]


def test_work_well_done(tmp_path):
    status, found = ending(tmp_path, lambda: None)
    assert status == 0
    assert (found["party"], found["code"], found["cause"], found["message"]) == ("east", 0, "ok", "")
    assert isinstance(found["time"], float)


@pytest.mark.parametrize("kind", ENDS)
def test_an_error_of_our_own_is_a_sentence_with_its_cause(tmp_path, capsys, kind):
    status, found = ending(tmp_path, raising(kind("what to do")))
    assert (found["cause"], found["code"]) == ENDS[kind]
    assert status == found["code"]
    assert found["message"] == "what to do"
    assert capsys.readouterr().err == "east: what to do\n"


def test_any_other_error_is_a_crash_with_its_traceback(tmp_path, capsys):
    status, found = ending(tmp_path, raising(ZeroDivisionError("by zero")))
    assert (status, found["cause"], found["message"]) == (1, "crash", "ZeroDivisionError: by zero")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_or_read_only_disk_is_a_sentence(tmp_path, capsys, number):
    status, found = ending(tmp_path, raising(OSError(number, os.strerror(number), "state/commits/1")))
    assert (status, found["cause"]) == (1, "disk")
    assert found["message"].startswith(f"state/commits/1: {os.strerror(number)}; ")
    assert "Traceback" not in capsys.readouterr().err


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "commit"
    write_bytes(path, b"before")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_bytes(path, bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["commit"]


def test_a_later_end_replaces_an_earlier_one(tmp_path):
    ending(tmp_path, raising(PeerLost("gone")))
    assert ending(tmp_path, lambda: None)[1]["cause"] == "ok"


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    with pytest.raises(TypeError):
        write_bytes(path, "no bytes")
    assert json.loads(path.read_text()) == {"a": 1}
    write_bytes(path, b"other")
    assert path.read_bytes() == b"other"
