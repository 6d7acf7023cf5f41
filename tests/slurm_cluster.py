"""A real Slurm of two nodes on one machine: each in a network namespace with an address of its own.

Its daemons stay in the foreground and die with the tests, whatever ends these.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import namespaces
from tests.conftest import require
from tests.namespaces import Network

PR_SET_PDEATHSIG = 1
UP_SECONDS = 60.0
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
NETWORK = Network("stslurm", "10.77.9.254", {"n1": "10.77.9.1", "n2": "10.77.9.2"})
# where Snakemake's own job steps look for it, whatever SLURM_CONF says
CONF = Path("/etc/slurm/slurm.conf")
NODE = "CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 RealMemory=8000 State=UNKNOWN"


def missing() -> str:
    """Say what a cluster needs and this machine lacks, or nothing."""
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    if lacking:
        return f"{', '.join(lacking)} missing (Debian: slurm-wlm munge)"
    return namespaces.missing()


@contextmanager
def cluster() -> Iterator[Path]:
    """Have a cluster of two idle nodes; its folder holds the daemons' logs."""
    if found := missing():
        require("slurm", found)
    folder = Path(tempfile.mkdtemp(prefix="st-slurm-", dir="/tmp"))
    folder.chmod(0o755)
    before = CONF.read_bytes() if CONF.is_file() else None
    started: list[subprocess.Popen[bytes]] = []
    try:
        with namespaces.joined(NETWORK):
            write_conf(folder)
            for name, words in daemons(folder):
                started.append(start(folder / f"{name}.log", words))
            wait_idle(folder)
            yield folder
            end(started)
    finally:
        end(started)
        CONF.unlink(missing_ok=True)
        if before is not None:
            CONF.write_bytes(before)
        shutil.rmtree(folder, ignore_errors=True)


def daemons(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name the daemons in the order in which they start, and each one's command line."""
    munge = folder / "munge"
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    options = {option: munge / name for option, name in names.items()}
    yield (
        "munged",
        ["munged", "--foreground", "--force", *(f"--{name}={value}" for name, value in options.items())],
    )
    yield "slurmctld", ["slurmctld", "-D", "-c"]
    for name in NETWORK.hosts:
        inside = f"hostname {name}; exec slurmd -D -N {name}"
        yield (
            f"slurmd-{name}",
            [*NETWORK.enter(name), "unshare", "--uts", "sh", "-c", inside],
        )


def write_conf(folder: Path) -> None:
    """Write the configuration, and a key for munge."""
    for name in ("munge", "state", *NETWORK.hosts):
        (folder / name).mkdir(mode=0o755)
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    (folder / "munge" / "key").chmod(0o400)
    host = os.uname().nodename
    nodes = [
        f"NodeName={name} NodeHostname={name} NodeAddr={address} Port={16818 + number} {NODE}"
        for number, (name, address) in enumerate(NETWORK.hosts.items())
    ]
    lines = f"""ClusterName=test
SlurmctldHost={host}({NETWORK.here})
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldPort=16817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
KillWait=5
PropagateResourceLimits=NONE
{chr(10).join(nodes)}
PartitionName=main Nodes={",".join(NETWORK.hosts)} Default=YES MaxTime=INFINITE DefaultTime=30 State=UP
"""
    CONF.parent.mkdir(exist_ok=True)
    CONF.unlink(missing_ok=True)
    CONF.write_text(lines, encoding="utf-8")


def start(log: Path, words: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a daemon that dies with the tests; each program it becomes keeps that."""
    libc = ctypes.CDLL(None)
    with log.open("wb") as sink:
        return subprocess.Popen(
            list(words), stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM)),
        )  # fmt: skip


def end(started: "Sequence[subprocess.Popen[bytes]]") -> None:
    """End the daemons, the last started first, and what they had started."""
    for process in reversed(started):
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_idle(folder: Path) -> None:
    """Wait until both nodes are idle."""
    give_up = time.monotonic() + UP_SECONDS
    while True:
        states = subprocess.run(
            ["sinfo", "-N", "-h", "-o", "%T"], capture_output=True, text=True
        ).stdout.split()
        if states == ["idle", "idle"]:
            return
        logs = "\n".join(path.read_text(errors="replace")[-800:] for path in folder.glob("*.log"))
        assert time.monotonic() < give_up, f"no two idle nodes but {states}:\n{logs}"
        time.sleep(0.1)
