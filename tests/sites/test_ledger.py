"""The ledger's chain: what was changed, dropped, put in between or cut off shows."""

import json
import resource

import pytest

from coordinator.command_line import main
from sites.__main__ import COMMANDS
from sites.ledger import START, WENT_ON, Ledger, head_of, released, verified

SIZES = (10, 200, 3000, 40)


@pytest.fixture
def path(tmp_path):
    """Write a session's ledger."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for kind, size in zip(("Hello", "Activations", "Activations", "Done"), SIZES, strict=True):
        ledger.write(kind, (0, 0, 0, 0), size, labels=False)
    return tmp_path / "ledger.jsonl"


def verify(path, *words):
    return main("sites", COMMANDS, ["ledger", "verify", str(path), *map(str, words)])


def test_a_sound_ledger_is_added_up(path, capsys):
    assert verify(path) == 0
    said = capsys.readouterr().out
    assert "3200" in said
    assert "the chain holds" in said


@pytest.mark.parametrize("line", range(4))
def test_a_changed_line_shows(path, capsys, line):
    lines = path.read_text().splitlines()
    lines[line] = lines[line].replace('"labels":false', '"labels":true')
    path.write_text("\n".join(lines) + "\n")
    head = Ledger(path).head
    if line < 3:
        assert verify(path) == 2
        assert f"ledger.jsonl:{line + 2}:" in capsys.readouterr().err
    else:  # nothing follows the last: who noted its hash sees it
        assert verify(path) == 0
        assert verify(path, "--head", "f" * 64) == 2
        assert verify(path, "--head", head) == 0


def test_a_dropped_or_repeated_line_shows(path):
    lines = path.read_text().splitlines()
    for changed in (lines[:1] + lines[2:], lines[1:], [*lines[:2], lines[1], *lines[2:]]):
        path.write_text("\n".join(changed) + "\n")
        assert verify(path) == 2


def test_a_cut_end_shows_to_who_kept_the_head(path, capsys):
    _, head, _ = verified(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    assert verify(path) == 0
    assert verify(path, "--head", head) == 2
    assert "cut off" in capsys.readouterr().err


def test_another_attempt_goes_on_after_a_line_cut_off_by_a_power_cut(path, capsys):
    with path.open("a") as file:
        file.write('{"kind":"Activ')
    for kind in ("Hello", "Done"):
        Ledger(path).write(kind, (), 5, labels=False)
    sessions, head, unfinished = verified(path)
    assert [sum(session.sizes.values()) for session in sessions] == [sum(SIZES), 10]
    assert head != START
    assert unfinished == [5]
    assert verify(path) == 0
    assert "ledger.jsonl:5: cut off" in capsys.readouterr().out.replace("\n", "")
    broken = path.read_text().replace('{"kind":"Activ\n', "")
    path.write_text(broken)
    assert verify(path) == 2


def test_it_is_held_against_the_socket_s_count(path, tmp_path, capsys):
    costs = tmp_path / "costs.json"
    kinds = {"bytes_up.training.activations": 3200.0, "bytes_up.control.hello": 10.0, "bytes_up": 3210.0}
    south = {**kinds, "bytes_up.training.activations": 3201.0}
    costs.write_text(json.dumps({"north": kinds, "south": south}))
    assert verify(path, "--costs", costs, "--site", "north") == 0
    assert verify(path, "--costs", costs, "--site", "south") == 2
    assert "a difference of 1" in capsys.readouterr().err
    assert verify(path, "--costs", costs, "--site", "west") == 2


def test_what_was_rolled_back_and_released_again_is_counted_once(path):
    ledger = Ledger(path)
    ledger.write("Hello", (), 10, labels=False, spec="one")
    ledger.write("Activations", (0, 0, 0, 0), 100, labels=False)
    ledger.write("Committed", (1,), 50, labels=False)
    ledger.write("Activations", (0, 1, 0, 0), 100, labels=False)  # rolled back
    ledger.write("Hello", (), 12, labels=False, spec="one")
    ledger.write(WENT_ON, (1,), 0, labels=False)
    ledger.write("Activations", (0, 1, 0, 0), 100, labels=False)
    assert released(path) == 200
    ledger.write(WENT_ON, (-1,), 0, labels=False)  # the disk with the commits was lost
    assert released(path) == 0
    ledger.write("Hello", (), 12, labels=False, spec="another run")
    ledger.write(WENT_ON, (1,), 0, labels=False)
    assert released(path) == 0
    assert verify(path) == 0


# against the heads that the coordinator kept


@pytest.fixture
def told(tmp_path):
    """Write a ledger with three commits; give it, and what the coordinator kept of it."""
    path, heads = tmp_path / "ledger.jsonl", []
    ledger = Ledger(path)
    ledger.write("Hello", (), 10, labels=False, spec="one")
    for number in range(1, 4):
        ledger.write("Activations", (0, number, 0, 0), 100, labels=False)
        heads.append(ledger.synced())
        ledger.write("Committed", (number,), 50, labels=False)
    kept = tmp_path / "ledgers.json"
    kept.write_text(json.dumps({"north": heads, "south": []}))
    return path, kept


def rewritten(path, change):
    """Write a ledger anew with changed entries and a chain that holds."""
    head, lines = START, []
    for entry in change([json.loads(line) for line in path.read_text().splitlines()]):
        lines.append(json.dumps({**entry, "after": head}, separators=(",", ":")))
        head = head_of(lines[-1].encode())
    path.write_text("\n".join(lines) + "\n")
    assert verify(path) == 0  # by itself it looks sound


def test_a_ledger_holds_the_heads_that_the_coordinator_kept(told, capsys):
    path, kept = told
    assert verify(path, "--heads", kept, "--site", "north") == 0
    assert "all 3 heads" in capsys.readouterr().out
    Ledger(path).write("Done", (), 5, labels=False)
    assert verify(path, "--heads", kept, "--site", "north") == 0


@pytest.mark.parametrize("line", range(6))
def test_a_rewritten_ledger_whose_chain_holds_is_detected(told, capsys, line):
    path, kept = told

    def smaller(entries):
        entries[line]["bytes"] -= 1
        return entries

    rewritten(path, smaller)
    assert verify(path, "--heads", kept, "--site", "north") == 2
    assert f"head {line // 2 + 1} of the 3" in capsys.readouterr().err


def test_a_ledger_without_a_release_is_detected(told):
    path, kept = told
    rewritten(path, lambda entries: [*entries[:3], *entries[4:]])
    assert verify(path, "--heads", kept, "--site", "north") == 2


@pytest.mark.parametrize("lines", range(6))
def test_a_ledger_cut_off_before_a_head_is_detected(told, capsys, lines):
    path, kept = told
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    assert verify(path, "--heads", kept, "--site", "north") == 2
    assert f"head {lines // 2 + 1} of the 3" in capsys.readouterr().err


def test_heads_in_another_order_are_refused(told):
    path, kept = told
    heads = json.loads(kept.read_text())
    kept.write_text(json.dumps({"north": heads["north"][::-1]}))
    assert verify(path, "--heads", kept, "--site", "north") == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"north": 1}'])
def test_a_file_without_the_site_s_heads_is_refused(told, capsys, text):
    path, kept = told
    kept.write_text(text)
    assert verify(path, "--heads", kept, "--site", "north") == 2
    assert "no heads of site 'north'" in capsys.readouterr().err


def test_a_release_of_which_half_a_line_fits_the_disk_is_refused(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("Hello", (), 10, labels=False)
    head, whole = ledger.head, (tmp_path / "ledger.jsonl").stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 20, limit[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            ledger.write("Activations", (0, 0, 0, 0), 100, labels=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert ledger.head == head
