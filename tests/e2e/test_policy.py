"""Hospitals with keys of their own join real runs: as their stewards approved, and not otherwise."""

import json
import re
import subprocess

import pytest

from coordinator.protocol.keys import read_manifest, write_manifest
from tests.containers.gangs import wait_for
from tests.e2e.tiny_study import TASK, command, environment, launch, prepare_table

SITES = ("north", "south")
POLICY = "releases: [activations, labels, sealed parts, metrics, weights, aggregates]\n"


def said(study, *words, status=0):
    """Run a program of ours; give all that it said."""
    done = subprocess.run(
        command(*words), cwd=study, env=environment(study), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


class Study:
    """A planned and prepared study between enrolled hospitals, each with a policy."""

    def __init__(self, folder):
        self.folder, self.plan, self.started = folder, prepare_table(folder), []
        self.agreement = self.plan["tasks"][TASK]["agree"]["0"]["spec"]
        (folder / "keys").mkdir(mode=0o700)
        said(folder, "coordinator", "keys", "--out", "keys", "coordinator")
        for site in SITES:
            told = said(folder, "sites", "enrol", "--site", site, "--out", site)
            number = re.search(r"(?:[0-9a-f]{4}-){7}[0-9a-f]{4}", told)[0]
            request = f"{site}/{site}.request.json"
            admit = ["admit", request, "--manifest", "keys/manifest.json", "--fingerprint", number]
            said(folder, "coordinator", *admit)
            (folder / site / "policy.yaml").write_text(POLICY)

    def spec(self, strategy):
        return self.plan["runs"][f"{TASK}/{strategy}/0"]["spec"]

    def approve(self, site, *specs):
        more = ["--manifest", "keys/manifest.json", "--policy", f"{site}/policy.yaml"]
        return said(self.folder, "sites", "approve", "--spec", *specs, *more)

    def start(self, place, spec, party, *more):
        """Start a party of a run whose state lies in a folder of this name."""
        secret = f"{'keys' if party == 'coordinator' else party}/{party}.secret"
        options = {"spec": spec, "secret": secret, "manifest": "keys/manifest.json"}
        options |= {"state": f"{place}/{party}"}
        if "agreement" not in spec:
            options["statistics"] = "agreed/coordinator/out/statistics.json"
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        program = ("coordinator", "serve") if party == "coordinator" else ("sites", "join", "--site", party)
        log = (self.folder / f"{place}-{party}.log").open("w")
        where = {"cwd": self.folder, "env": environment(self.folder)}
        words = command(*program, *words, *more)
        self.started.append(subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, **where))
        return self.started[-1]

    def serve(self, place, spec):
        """Start a coordinator on TCP; give its process and where it listens."""
        process = self.start(place, spec, "coordinator", "--endpoint", "tcp://127.0.0.1:0")
        endpoint = self.folder / place / "coordinator" / "endpoint"
        wait_for(lambda: endpoint.exists() or process.poll() is not None)
        return process, endpoint.read_text()

    def join(self, place, spec, site, endpoint, *more):
        policy = ["--policy", f"{site}/policy.yaml"]
        return self.start(place, spec, site, "--endpoint", endpoint, *policy, *more)

    def log(self, place, party):
        return (self.folder / f"{place}-{party}.log").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Every steward approved the agreement, which was made, and split learning."""
    found = Study(tmp_path_factory.mktemp("policy"))
    for site in SITES:
        found.approve(site, found.agreement, found.spec("split"))
    took_part(found, "agreed", found.agreement)
    yield found
    for process in found.started:
        process.kill()
        process.wait()


def took_part(study, place, spec):
    server, endpoint = study.serve(place, spec)
    sites = [study.join(place, spec, site, endpoint) for site in SITES]
    for party, process in zip(("coordinator", *SITES), (server, *sites), strict=True):
        assert process.wait(120) == 0, study.log(place, party)


def refused(study, place, spec, *, endpoint="tcp://127.0.0.1:9"):
    """Join as north, to be refused before any socket opens; give what it says."""
    process = study.join(place, spec, "north", endpoint)
    assert process.wait(120) == 2, study.log(place, "north")
    assert not (study.folder / place / "north" / "ledger.jsonl").exists()
    return study.log(place, "north")


def test_an_approved_run_is_that_of_a_launcher_and_its_ledger_holds_the_kept_heads(study):
    took_part(study, "run", study.spec("split"))
    launch(study.folder, study.spec("split"), "launched", statistics="agreed/coordinator/out/statistics.json")
    out = study.folder / "run" / "coordinator" / "out"
    launched = study.folder / "results" / "launched" / "weights.sha256"
    assert (out / "weights.sha256").read_text() == launched.read_text()
    assert "no policy" not in study.log("run", "north")
    assert re.findall("^north: .{4}", study.log("run", "north"), re.MULTILINE) == [
        "north: aski",
        "north: the ",
        "north: done",
    ]
    assert "no policy" in (study.folder / "state" / "launched" / "north" / "log-1.txt").read_text()
    ledger = study.folder / "run" / "north" / "ledger.jsonl"
    verify = ["ledger", "verify", ledger, "--heads", out / "ledgers.json", "--site", "north"]
    commits = len(json.loads((out / "ledgers.json").read_text())["north"])
    assert f"all {commits} heads" in said(study.folder, "sites", *verify).replace("\n", " ")
    both = ["ledger", "verify", ledger, "--receipts", out / "receipts.json", "--site", "north"]
    signed = said(study.folder, "sites", *both, "--manifest", "keys/manifest.json").replace("\n", " ")
    assert f"both sides signed {commits} commits; of {commits} this ledger has" in signed
    lines = ledger.read_text().splitlines(keepends=True)
    cut = study.folder / "cut.jsonl"
    cut.write_text("".join(lines[: len(lines) // 2]))
    said(study.folder, "sites", "ledger", "verify", cut)
    assert "its end was cut off" in said(
        study.folder, "sites", *[cut if word == ledger else word for word in verify], status=2
    )


def test_a_spec_that_was_changed_is_refused_with_what_differs(study):
    told = json.loads((study.folder / study.spec("split")).read_text())
    told["training"]["learning_rates"] = [0.1]
    (study.folder / "run-changed.json").write_text(json.dumps(told))
    text = refused(study, "changed", "run-changed.json")
    assert "training.learning_rates: approved [0.01], found [0.1]" in text
    assert "Traceback" not in text


def test_a_run_that_nobody_approved_is_refused(study):
    text = refused(study, "unknown", study.spec("fedavg"))
    assert f"run/ci/{TASK}/fedavg/0 was never approved" in text


def test_a_swapped_key_is_refused(study):
    path = study.folder / "keys" / "manifest.json"
    before = read_manifest(path)
    try:
        write_manifest(path, {**before, "south": before["coordinator"]})
        text = refused(study, "swapped", study.spec("split"))
    finally:
        write_manifest(path, before)
    assert "manifest.south: approved" in text


def test_a_budget_ends_a_run_and_a_restart_does_not_refill_it(study):
    policy = study.folder / "north" / "policy.yaml"
    whole, spec = policy.read_text(), study.spec("split")
    try:
        policy.write_text(f"limits: {{bytes: 20000}}\n{whole}")
        _, endpoint = study.serve("limited", spec)
        study.join("limited", spec, "south", endpoint)
        north = study.join("limited", spec, "north", endpoint)
        assert north.wait(120) == 2, study.log("limited", "north")
        assert "limits.bytes is 20000; nothing was sent" in study.log("limited", "north")
        first = released(study)
        again = study.join("limited", spec, "north", endpoint)
        assert again.wait(120) == 2
        assert first <= released(study) <= 20000
        policy.write_text(f"limits: {{bytes: {released(study)}}}\n{whole}")
        none = study.join("limited", spec, "north", endpoint)
        assert none.wait(120) == 2
        assert "refused Hello" in study.log("limited", "north")
    finally:
        policy.write_text(whole)


def released(study):
    lines = (study.folder / "limited" / "north" / "ledger.jsonl").read_text().splitlines()
    return sum(json.loads(line)["bytes"] for line in lines)
