"""Rows that only grow: what commits hold of them is bounded, and a process killed at any point loses none."""

import json

import pytest

from coordinator.errors import DataError
from coordinator.protocol.messages import Committed
from coordinator.server.heads import Heads
from coordinator.server.rows import MOST_BYTES, Rows

RECENT = MOST_BYTES // len('{"number": 100}')
MANY = 5 * RECENT + 7


def filled(path, count):
    rows = Rows(path)
    for number in range(count):
        rows.add({"number": number})
    return rows


def numbers(rows):
    return [row["number"] for row in rows]


@pytest.mark.parametrize("count", [0, 1, 2 * RECENT - 1, 2 * RECENT, MANY])
def test_all_come_back_in_order(tmp_path, count):
    rows = filled(tmp_path / "rows.jsonl", count)
    assert numbers(rows) == list(range(count))
    again = Rows(tmp_path / "rows.jsonl")
    again.load(json.loads(json.dumps(rows.state())))
    assert numbers(again) == list(range(count))
    assert (again.last() or {"number": -1})["number"] == count - 1


def test_a_commit_holds_few_whatever_their_number(tmp_path):
    assert max(len(filled(tmp_path / f"{n}", n).state()["recent"]) for n in (50, 2000, 6000)) < 1.2 * RECENT
    assert len(filled(None, MANY).state()["recent"]) == MANY  # without a file


@pytest.mark.parametrize("since", [1, RECENT, 3 * RECENT])
def test_what_came_after_a_commit_is_forgotten_with_it(tmp_path, since):
    """As after a kill, or a rollback: the file is longer than the commit that is gone on from says."""
    rows = filled(tmp_path / "rows.jsonl", MANY)
    committed = rows.state()
    for number in range(since):
        rows.add({"number": -number})
    again = Rows(tmp_path / "rows.jsonl")
    again.load(committed)
    for number in range(MANY, MANY + 3 * RECENT):
        again.add({"number": number})
    assert numbers(again) == list(range(MANY + 3 * RECENT))
    again.load(committed)
    assert numbers(again) == list(range(MANY))


def test_a_file_that_was_cut_off_is_noticed(tmp_path):
    path = tmp_path / "rows.jsonl"
    committed = filled(path, MANY).state()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="and a commit counted"):
        Rows(path).load(committed)


def test_the_record_of_ledgers_is_bounded_in_commits_and_whole_at_the_end(tmp_path):
    heads, sizes = Heads(path=tmp_path / "heads.jsonl"), []
    for number in range(200):
        for site in ("north", "south"):
            heads.hear(site, Committed(number, "0" * 64, f"{number:064}"))
        heads.close(number)
        sizes.append(len(json.dumps(heads.state())))
    assert max(sizes) < 2 * MOST_BYTES
    assert max(sizes[100:]) < 1.1 * max(sizes[:100])
    assert heads.by_site() == {site: [f"{n:064}" for n in range(200)] for site in ("north", "south")}
    assert len({row["head"] for row in heads.rows}) == 200
