"""Both sides' records of a run's commits: neither can be rewritten or cut off unless the other's shows it."""

import json

import pytest
from federation import a_run
from nacl.signing import SigningKey

from coordinator.errors import ProtocolError
from coordinator.protocol.keys import COORDINATOR, Identity, Secret, write_manifest
from coordinator.protocol.messages import Committed, Hello, Kept, Validated
from coordinator.protocol.signing import Signer, next_head
from coordinator.server.heads import START, Heads
from coordinator.specs import run_digest
from sites.gate import Gate
from sites.ledger import START as FIRST
from sites.ledger import head_of
from tests.sites.test_ledger import verify

SITES = ("north", "south")
COMMITS = 4
RUN = a_run("local", (3, 3))
SPEC = run_digest(RUN)


class Told:
    """A run of a few commits between two sites' gates and the coordinator's record."""

    def __init__(self, folder):
        keys = {name: SigningKey.generate() for name in (COORDINATOR, *SITES)}
        self.manifest = {
            name: Identity(bytes([number]) * 32, bytes([number + 9]) * 32, bytes(key.verify_key))
            for number, (name, key) in enumerate(keys.items())
        }
        self.signers = {
            name: Signer(name, Secret(b"", b"", bytes(key)), lambda: self.manifest, SPEC)
            for name, key in keys.items()
        }
        self.folder, self.heads = folder, Heads(self.signers[COORDINATOR])
        write_manifest(folder / "manifest.json", self.manifest)
        self.ledgers = {site: folder / f"{site}.jsonl" for site in SITES}
        self.gates = {site: self.gate(site) for site in SITES}

    def gate(self, site):
        gate = Gate(RUN, self.ledgers[site], signer=self.signers[site])
        gate.release(Hello(site, SPEC, 0), 10)
        return gate

    def commit(self, number, deaf=()):
        for site, gate in self.gates.items():
            gate.release(Validated((0, number, 0, -1), 0.0, 1, 0.0, 1), 100)
            word = gate.committed(number, "0" * 64)
            gate.release(word, 50)
            self.heads.hear(site, word)
        self.heads.close(number)
        for site, gate in self.gates.items():
            if site not in deaf:
                gate.hear(self.heads.receipt(site))

    def written(self, rows=None):
        path = self.folder / "receipts.json"
        path.write_text(
            json.dumps({"spec": SPEC, "commits": list(self.heads.rows) if rows is None else rows})
        )
        return path

    def verify(self, site="north", rows=None):
        manifest = ("--manifest", self.folder / "manifest.json")
        return verify(self.ledgers[site], "--receipts", self.written(rows), "--site", site, *manifest)


@pytest.fixture
def told(tmp_path):
    found = Told(tmp_path)
    for number in range(1, COMMITS + 1):
        found.commit(number)
    return found


def rechained(rows):
    """Compute the coordinator's chain anew, as one would who rewrites its record."""
    head, found = START, []
    for row in rows:
        head = next_head(head, row)
        found.append({**row, "head": head})
    return found


def rewritten(path, change):
    """Write a ledger anew with changed entries and a chain that holds."""
    head, lines = FIRST, []
    for entry in change([json.loads(line) for line in path.read_text().splitlines()]):
        lines.append(json.dumps({**entry, "after": head}, separators=(",", ":")))
        head = head_of(lines[-1].encode())
    path.write_text("\n".join(lines) + "\n")


def test_two_sound_sides_bear_each_other_out(told, capsys):
    for site in SITES:
        assert told.verify(site) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "both sides signed 4 commits; of 4 this ledger has the coordinator's receipt" in said


def test_a_site_lost_before_the_coordinator_s_word_has_one_receipt_less(told, capsys):
    told.commit(5, deaf=("north",))
    assert told.verify("north") == 0
    assert "signed 5 commits; of 4" in " ".join(capsys.readouterr().out.split())
    assert told.verify("south") == 0


@pytest.mark.parametrize("number", range(COMMITS))
def test_the_coordinator_cannot_rewrite_what_any_site_said(told, capsys, number):
    """Not even with new signatures of that site: the other's receipts hold the chain over both."""
    rows = json.loads(json.dumps(list(told.heads.rows)))
    rows[number]["heads"]["south"] = "1" * 64
    assert told.verify("north", rows) == 2
    assert "does not follow" in capsys.readouterr().err
    signed = told.signers["south"].sign("committed", "south", number + 1, "1" * 64)
    rows[number]["signatures"]["south"] = signed
    assert told.verify("north", rechained(rows)) == 2
    assert "its record was rewritten" in " ".join(capsys.readouterr().err.split())


def test_the_coordinator_cannot_put_words_into_a_site_s_mouth(told, capsys):
    rows = json.loads(json.dumps(list(told.heads.rows)))
    rows[1]["heads"]["north"] = "1" * 64
    assert told.verify("north", rechained(rows)) == 2
    assert "'north' never signed" in capsys.readouterr().err


def test_the_coordinator_cannot_cut_its_record_off(told, capsys):
    assert told.verify("north", list(told.heads.rows)[:-1]) == 2
    assert "it was cut off" in capsys.readouterr().err


@pytest.mark.parametrize("line", range(1 + 3 * COMMITS))
def test_a_site_cannot_rewrite_its_ledger(told, line):
    def changed(entries):
        entries[line]["bytes"] += 1
        return entries

    rewritten(told.ledgers["north"], changed)
    later = line > 3 * COMMITS - 2  # what left after the last commit's head is not yet signed by anybody
    assert told.verify("north") == (0 if later else 2)


@pytest.mark.parametrize("lines", [1, 3, 7, 10])
def test_a_site_cannot_cut_its_ledger_off(told, lines):
    path = told.ledgers["north"]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    assert told.verify("north") == 2


def test_a_site_cannot_make_a_receipt_up(told, capsys):
    def changed(entries):
        entries[-1]["head"] = "2" * 64
        return entries

    rewritten(told.ledgers["north"], changed)
    assert told.verify("north") == 2
    assert "never signed the receipt of commit 4" in capsys.readouterr().err


def test_receipts_of_commits_that_were_gone_back_before_are_replaced(told):
    state = [told.heads.state()]
    told.commit(5)
    told.heads.load(state[0])
    for gate in told.gates.values():
        gate.went_on(4)
    told.commit(5, deaf=("north",))
    assert told.verify("north") == 0
    assert told.verify("south") == 0


def test_a_run_begun_anew_by_hand_leaves_its_old_receipts_behind(told):
    told.gates = {site: told.gate(site) for site in SITES}
    told.heads = Heads(told.signers[COORDINATOR])
    told.commit(1, deaf=SITES)
    for site in SITES:
        assert told.verify(site) == 0


def test_what_nobody_signed_is_refused_at_once(told):
    forged = told.signers["south"].sign("committed", "north", 5, "3" * 64)
    for signature in ("", "zz", forged, next(iter(told.heads.rows))["signatures"]["north"]):
        with pytest.raises(ProtocolError) as refused:
            told.heads.hear("north", Committed(5, "0" * 64, "3" * 64, signature))
        assert refused.value.peer == "north"
    told.gates["north"].committed(5, "0" * 64)
    for receipt in (Kept(5), Kept(5, "0" * 64, forged), told.heads.receipt("north")):
        with pytest.raises(ProtocolError, match="'coordinator' did not sign"):
            told.gates["north"].hear(receipt)


@pytest.mark.parametrize("content", ["", "{}", '{"spec": 1, "commits": [{}]}', '{"commits": 3}'])
def test_a_file_that_is_no_receipts_is_refused(told, capsys, content):
    path = told.folder / "other.json"
    path.write_text(content)
    manifest = ("--manifest", told.folder / "manifest.json")
    assert verify(told.ledgers["north"], "--receipts", path, "--site", "north", *manifest) == 2
    assert "--receipts" in capsys.readouterr().err
