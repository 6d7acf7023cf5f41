"""One tiny real run over ipc, over TCP and in one process: the same weights, to the bit.

And the plan's list of sources against what the finished programs had really imported.
"""

import json
from pathlib import Path
from threading import Thread

import pytest

from coordinator import specs
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.driver import coordinate, take_part
from coordinator.model_files import weights_file, write_parts
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.inproc import Hub
from coordinator.protocol.keys import read_manifest, read_secret
from coordinator.protocol.messages import Done, Hello
from coordinator.protocol.seals import Sealer
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import POOLED, Run
from coordinator.statistics import read_statistics
from sites.training import records_of, site_data
from tests.e2e.tiny_study import ROOT, TASK, launch, prepare_table, run_command

STRATEGIES = ("split", "split_u", "fedavg", "centralized", "splitfed_v1", "split_parallel", "cyclic")
TCP = ("split", "split_u")  # where the messages differ most; the socket knows of no other difference
LIMIT = 1 << 26
# started by every program of ours: at its end it writes down what of ours it had imported
SEEN = """
import atexit, json, os, sys

def write():
    argv = sys.orig_argv
    if "-m" not in argv or argv[argv.index("-m") + 1] not in ("coordinator", "sites"):
        return
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    paths = [os.path.relpath(f, ROOT) for f in files if f and f.startswith(ROOT + os.sep)]
    ours = sorted(path for path in paths if path.split(os.sep)[0] in ("coordinator", "sites", "containers"))
    command = argv[argv.index("-m") + 2]
    with open(os.path.join(HERE, f"{command}-{os.getpid()}.json"), "w") as file:
        json.dump(ours, file)

atexit.register(write)
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Prepare the ci study's table once, and agree on its statistics."""
    folder = tmp_path_factory.mktemp("transports")
    (folder / "seen").mkdir()
    places = f"ROOT, HERE = {str(ROOT)!r}, {str(folder / 'seen')!r}\n"
    (folder / "seen" / "sitecustomize.py").write_text(places + SEEN)
    plan = prepare_table(folder, *STRATEGIES)
    return folder, plan


@pytest.fixture(scope="module")
def agreed(study):
    folder, plan = study
    noted = noting(folder)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    return folder, plan, folder / "results/agree/statistics.json", noted()


def noting(folder):
    """Begin to note; what is returned gives what the parties have imported since."""
    before = set((folder / "seen").glob("*.json"))

    def noted():
        files = [f for f in (folder / "seen").glob("*.json") if f not in before]
        parties = [f for f in files if f.name.split("-")[0] in ("serve", "join")]
        return len(parties), {name for f in parties for name in json.loads(f.read_text())}

    return noted


def in_one_process(folder, run, statistics_file, keys):
    """Do a run between threads, and give its weights file's content."""
    statistics = read_statistics(statistics_file)
    cohort = Cohort.of(statistics, run.sites)
    hub, done = Hub(), {}
    channel = CoordinatorChannel(hub, run.parties, spec=specs.digest(run), limit=LIMIT)
    threads = []
    for name in run.parties:
        hospitals = run.sites if name == POOLED else (name,)
        index = -1 if name == POOLED else run.sites.index(name)
        data = site_data([records_of(run, statistics, hospital) for hospital in hospitals])
        sealer = Sealer(read_secret(keys / f"{name}.secret"), read_manifest(keys / "manifest.json"))
        party = Party(run, cohort, index, data, sealer)
        threads.append(Thread(target=one_site, args=(name, party, hub.spoke(name), folder), daemon=True))
        threads[-1].start()
    party = Party(run, cohort)
    channel.admit()
    channel.welcome(cohort.train)
    coordinate(party, channel, lambda item, now: None)
    hashes = write_parts(party.parts, "coordinator", folder)
    done = dict(zip(run.parties, channel.finish(), strict=True))
    channel.dismiss()
    everyone = {"coordinator": Done(hashes, {}), **done}
    for thread in threads:
        thread.join(30)
    return weights_file({(p, part): h for p, each in everyone.items() for part, h in each.hashes.items()})


def one_site(name, party, link, folder):
    channel = SiteChannel(link, limit=LIMIT, release=lambda message, size: None)
    channel.enter(Hello(name, specs.digest(party.run), 0), print)
    take_part(party, channel, lambda item, now: None)
    channel.leave(Done(write_parts(party.parts, name, folder), {}))


def of_parties(code):
    """Leave out what of the launcher a plan lists: the parties are started by it and do not import it."""
    return {name for name in code if not name.startswith("containers/")}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.usefixtures("one_thread")
def test_ipc_tcp_and_one_process_give_the_same_weights(agreed, tmp_path, monkeypatch, strategy):
    folder, plan, statistics, _ = agreed
    job = plan["runs"][f"{TASK}/{strategy}/0"]
    noted, found = noting(folder), {}
    transports = {"ipc": [], "tcp": ["--tcp"]} if strategy in TCP else {"ipc": []}
    for transport, options in transports.items():
        name = f"{strategy}-{transport}"
        launch(folder, job["spec"], name, *options, statistics=statistics)
        found[transport] = (folder / "results" / name / "weights.sha256").read_text()
        if transport == "tcp":
            published = (folder / "state" / name / "coordinator" / "endpoint").read_text()
            assert published.startswith("tcp://127.0.0.1:")
    monkeypatch.chdir(folder)
    run = specs.read(Run, Path(job["spec"]))
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    run_command(folder, "coordinator", "keys", "--out", keys, *run.parties)
    found["inproc"] = in_one_process(tmp_path / "model", run, statistics, keys)
    assert len(found["inproc"].splitlines()) >= 2
    assert set(found.values()) == {found["inproc"]}
    parties, imported = noted()
    assert parties == (len(run.parties) + 1) * len(transports)
    assert imported == of_parties(job["code"])


def test_an_agreement_uses_the_sources_the_plan_lists(agreed):
    _, plan, _, (parties, imported) = agreed
    assert parties == 3
    assert imported == of_parties(plan["tasks"][TASK]["agree"]["0"]["code"])
    assert not any(name.startswith("coordinator/algorithms/split") for name in imported)
