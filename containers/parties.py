"""How each party is started: the one place that knows the programs' command lines and what each may see."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from containers.environment import environment
from containers.gang import COORDINATOR, Gang, gate_of
from containers.images.layer import binds_of
from containers.meeting import Meeting, Together
from containers.sandbox import Bind, Network, Sandbox, same_place

# how each program begins; its arguments follow
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "keys": (sys.executable, "-m", "coordinator", "keys"),
    "coordinator": (sys.executable, "-m", "coordinator", "serve"),
    "site": (sys.executable, "-m", "sites", "join"),
    "gate": (sys.executable, "-m", "sites", "gate"),
    "fork_server": (sys.executable, "-m", "coordinator", "fork-server"),
    "sites_fork_server": (sys.executable, "-m", "sites", "fork-server"),
}


# Slurm signals a launcher and all it started alike; the launcher then asks its parties to leave in order
LIFELINE_ALONE: Mapping[str, str] = {"SUTURE_HEARS": "lifeline"}
# pyarrow's allocator starts a thread of its own, which a fork would lose; and a fork's command line, as `ps`
# shows it, is cut where its server's own words and environment end (and after a page)
OF_FORKS: Mapping[str, str] = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "SUTURE_TITLE_ROOM": "." * 4096,
}


def keys(gang: Gang, meeting: Meeting, programs: Mapping[str, tuple[str, ...]]) -> Sandbox:
    """Make a key pair for each party of this launcher, in the runtime folder."""
    return Sandbox(
        command=(
            *programs["keys"],
            "--out",
            str(meeting.runtime),
            *filter(gang.keyed.__contains__, gang.here),
        ),
        binds=(same_place(meeting.runtime, "rw"),),
        environment=environment(os.environ, threads=1),
    )


def coordinator(gang: Gang, meeting: Meeting, programs: Mapping[str, tuple[str, ...]]) -> Sandbox:
    """Describe the coordinator: no prepared data."""
    shown = (same_place(gang.frozen),) if gang.frozen else ()
    meet = same_place(meeting.socket.parent, "rw")
    return _party(gang, meeting, COORDINATOR, programs["coordinator"], meeting.bound, (*shown, meet))


def site(
    gang: Gang, meeting: Meeting, name: str, endpoint: str, programs: Mapping[str, tuple[str, ...]]
) -> Sandbox:
    """Describe a site: its layer and prepared data, read-only, and the socket, whose place it cannot take.

    Where its gate stands outside it has no key and no network, whatever the others meet over.
    """
    data = (*map(same_place, gang.shown_to(name)), *binds_of(name))
    program = (*programs["site"], "--site", name)
    if gang.gates:
        door = meeting.door(gang.sites.index(name))
        return _bare(gang, name, (*program, "--gate", str(door)), (*data, same_place(door.parent)))
    meet = same_place(meeting.socket.parent)
    return _party(gang, meeting, name, program, endpoint, (*data, meet))


def gate(
    gang: Gang, meeting: Meeting, name: str, endpoint: str, programs: Mapping[str, tuple[str, ...]]
) -> Sandbox:
    """Describe a site's gate: its keys, the coordinator's socket and its own, and no record."""
    door = meeting.door(gang.sites.index(name))
    door.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = (*programs["gate"], "--site", name, "--listen", str(door))
    own = (
        same_place(meeting.socket.parent),
        same_place(door.parent, "rw"),
        *binds_of(name),
    )
    return _party(gang, meeting, name, program, endpoint, own, state=gate_of(name))


def fork_server(gang: Gang, programs: Mapping[str, tuple[str, ...]]) -> Sandbox:
    """Describe what becomes each party by a fork, where no walls stand between them."""
    return Sandbox(
        command=programs["fork_server"],
        environment=environment(os.environ, threads=gang.threads) | dict(OF_FORKS),
    )


def forking(gangs: Sequence[Gang], party: str, link: Path, together: Together) -> Sandbox:
    """Describe what becomes one party of several gangs by forks, and sees what it sees in any."""
    program = PROGRAMS["fork_server" if party == COORDINATOR else "sites_fork_server"]
    return Sandbox(
        command=(*program, "--link", str(link)),
        binds=tuple(dict.fromkeys(_forked(gangs, party, link, together))),
        environment=environment(os.environ, threads=1) | dict(OF_FORKS),
        lifeline=True,
    )


def _forked(gangs: Sequence[Gang], party: str, link: Path, together: Together) -> Iterator[Bind]:
    yield same_place(link.parent)
    yield same_place(together.keys_of(party))
    yield same_place(together.sockets, "rw" if party == COORDINATOR else "ro")
    for gang in gangs:
        if party in gang.parties:
            yield from _of_gang(gang, party)


def _of_gang(gang: Gang, party: str) -> Iterator[Bind]:
    """Show what a party has of a gang; files that may be still to come lie in folders that are there."""
    state = gang.state / party
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in () if party == COORDINATOR else gang.shown_to(party):
        folder.mkdir(parents=True, exist_ok=True)
    yield from (same_place(gang.spec), same_place(state, "rw"))
    if gang.statistics:  # of every seed: aggregates, which all sites have agreed on
        gang.statistics.parent.mkdir(parents=True, exist_ok=True)
        yield same_place(gang.statistics.parent)
    if party == COORDINATOR:
        yield from (same_place(gang.frozen),) if gang.frozen else ()
    else:
        yield from (*map(same_place, gang.shown_to(party)), *binds_of(party))


def own_gpu(gang: Gang, name: str) -> dict[str, str]:
    """Deal the GPUs that this launcher was given, where they are several, to who computes there."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    users = [party for party in gang.here if party in gang.on_gpu]
    if name not in users or len(given) < 2:
        return {}
    return {"CUDA_VISIBLE_DEVICES": given[users.index(name) % len(given)]}


def _party(
    gang: Gang,
    meeting: Meeting,
    name: str,
    program: tuple[str, ...],
    endpoint: str,
    own: tuple[Bind, ...],
    *,
    state: str = "",
) -> Sandbox:
    secret, manifest = meeting.secret(name), meeting.manifest(name)
    words = ("--endpoint", endpoint, "--secret", str(secret), "--manifest", str(manifest))
    shown = (*map(same_place, (secret, manifest)), *own)
    return _bare(gang, state or name, (*program, *words), shown, meeting.network)


def _bare(
    gang: Gang, name: str, program: tuple[str, ...], own: tuple[Bind, ...], network: Network = "none"
) -> Sandbox:
    """Describe what every party has, with keys or without."""
    state, shown = gang.state / name, [gang.spec]
    hears = {} if gang.here == gang.parties else dict(LIFELINE_ALONE)
    options: dict[str, Path] = {"--spec": gang.spec, "--state": state}
    if gang.statistics:
        options["--statistics"] = gang.statistics
        shown.append(gang.statistics)
    return Sandbox(
        command=(*program, "--lifeline", *(word for option in options.items() for word in map(str, option))),
        binds=(*map(same_place, shown), *own, same_place(state, "rw")),
        network=network,
        environment=environment(os.environ, threads=gang.threads) | hears | own_gpu(gang, name),
        memory=gang.memory,
        gpus=int(name in gang.on_gpu),
        lifeline=True,
    )
