"""One gang: the coordinator and the sites of an agreement, a run or an estimation, from its spec."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from containers.errors import ConfigError

COORDINATOR = "coordinator"
POOLED = "pooled"
OF_A_GATE = "-gate"
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Gang:
    """Who takes part, and where things lie; paths are relative to the working directory or absolute."""

    name: str
    sites: tuple[str, ...]
    prepared: Mapping[str, Path]
    threads: int
    spec: Path
    statistics: Path | None
    state: Path
    results: Path
    restarts: int = 0  # of a party that was killed
    goes_on: bool = False  # without a site that does not come back; the coordinator says with how few
    frozen: Path | None = None  # statistics of an earlier agreement, which the coordinator reads
    gates: bool = False  # each site's gate is a process of its own
    scores: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)  # that a site kept of runs
    on_gpu: frozenset[str] = frozenset()  # parties that compute there
    memory: int | None = None  # bytes that each party may have of its own
    here: tuple[str, ...] = ()  # the parties of this launcher: all, where it is the only one

    @property
    def parties(self) -> tuple[str, ...]:
        """The coordinator and then who is started once it can be met."""
        return (COORDINATOR, *self.others)

    @property
    def others(self) -> tuple[str, ...]:
        """The sites, behind each one's gate where that is a process of its own."""
        gates = tuple(map(gate_of, self.sites)) if self.gates else ()
        return (*gates, *self.sites)

    @property
    def keyed(self) -> tuple[str, ...]:
        """Who has keys."""
        return (COORDINATOR, *self.sites)

    def of(self, keyed: Sequence[str]) -> tuple[str, ...]:
        """Name the parties of some that have keys: a site's gate stays with its site."""
        gates = {gate_of(site) for site in self.sites if site in keyed}
        return tuple(party for party in self.parties if party in keyed or party in gates)

    def shown_to(self, site: str) -> tuple[Path, ...]:
        """Name what a site may see: its prepared folder, the pool all of them, or its kept scores."""
        if self.scores:
            return tuple(path for path in self.scores[site] if path.exists())
        return tuple(self.prepared.values()) if site == POOLED else (self.prepared[site],)


def gate_of(site: str) -> str:
    """Name a site's gate as a party."""
    return f"{site}{OF_A_GATE}"


def read_gang(spec: Path, statistics: Path | None, state: Path, results: Path) -> Gang:
    """Read the few keys of a spec that launching needs, and check every path.

    Raises:
        ConfigError: a file is missing, or the spec is not one of an agreement or a run.
    """
    gang = parse_gang(spec, statistics, state, results)
    _check_paths(gang)
    return gang


def parse_gang(spec: Path, statistics: Path | None, state: Path, results: Path) -> Gang:
    """Read these keys of a spec, whose files may be still to come.

    Raises:
        ConfigError: the spec is missing, or not one of an agreement or a run.
    """
    keys = _read(spec)
    kind = keys.get("kind", "run" if "parties" in keys else "agreement")
    prepared = {} if kind == "estimation" else _mapping(keys, "prepared", spec)
    gang = Gang(
        name="/".join(str(keys.get(key, "?")) for key in ("study", "task")) + f"/{_arm(keys, kind)}",
        sites=_names(keys, "parties" if kind == "run" else "sites", spec),
        prepared={site: Path(folder) for site, folder in prepared.items()},
        threads=_positive(keys, "threads", spec),
        spec=spec,
        statistics=statistics,
        state=state,
        results=results,
        restarts=_restarts(keys, spec),
        goes_on=(keys.get("on_loss") or {}).get("policy") == "continue",
        frozen=Path(keys["frozen"]) if keys.get("frozen") else None,
        gates=keys.get("gate") == "outside",
        scores=_scores(keys, spec) if kind == "estimation" else {},
        on_gpu=frozenset(party for party, kind in (keys.get("devices") or {}).items() if kind == "cuda"),
    )
    return replace(gang, here=gang.parties)


def _arm(keys: Mapping[str, Any], kind: str) -> str:
    if kind == "estimation":
        return "estimate"
    return f"{keys.get('strategy', '?') if kind == 'run' else 'agree'}/{keys.get('seed', '?')}"


def _scores(keys: Mapping[str, Any], spec: Path) -> dict[str, tuple[Path, ...]]:
    found = keys.get("scores")
    sites = keys.get("sites")
    if not isinstance(found, dict) or not isinstance(sites, list) or set(found) != set(sites):
        raise ConfigError(f"--spec {spec}: 'scores' must name each site's kept files")
    return {site: tuple(map(Path, _mapping(found, site, spec).values())) for site in sites}


def _read(spec: Path) -> dict[str, Any]:
    try:
        found = json.loads(spec.read_bytes())
    except OSError as error:
        raise ConfigError(f"--spec {spec}: cannot be read ({error.strerror}); the plan writes it") from None
    except ValueError as error:
        raise ConfigError(f"--spec {spec}: not JSON ({error}); write it again with the plan") from None
    if not isinstance(found, dict):
        raise ConfigError(f"--spec {spec}: found a {type(found).__name__}, expected the keys of a spec")
    return found


def _names(keys: Mapping[str, Any], key: str, spec: Path) -> tuple[str, ...]:
    found = keys.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"--spec {spec}: '{key}' is {found!r}, expected a list of at least one site's name")
    for name in found:
        if not SAFE_NAME.fullmatch(name) or name == COORDINATOR:
            raise ConfigError(
                f"--spec {spec}: {key}: '{name}' cannot be a site's name; use letters, digits and _"
            )
    if len(set(found)) != len(found):
        raise ConfigError(f"--spec {spec}: {key}: a site is named twice; name each once")
    return tuple(found)


def _mapping(keys: Mapping[str, Any], key: str, spec: Path) -> dict[str, str]:
    found = keys.get(key)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ConfigError(f"--spec {spec}: '{key}' is {found!r}, expected a folder for each site")
    return found


def _positive(keys: Mapping[str, Any], key: str, spec: Path) -> int:
    found = keys.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ConfigError(f"--spec {spec}: '{key}' is {found!r}, expected a whole number from 1")
    return found


def _restarts(keys: Mapping[str, Any], spec: Path) -> int:
    """Give how often a killed party is started again; an agreement, and who aborts, begin anew."""
    on_loss = keys.get("on_loss") or {}
    if on_loss.get("policy") not in ("wait", "continue"):
        return 0
    found = on_loss.get("restarts")
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ConfigError(f"--spec {spec}: 'on_loss.restarts' is {found!r}, expected a whole number from 0")
    return found


def _check_paths(gang: Gang) -> None:
    if gang.statistics and not gang.statistics.is_file():
        raise ConfigError(f"--statistics {gang.statistics}: no such file; the agreement writes it")
    for site in gang.sites:
        if site not in {POOLED, *gang.scores, *gang.prepared}:
            raise ConfigError(f"--spec {gang.spec}: 'prepared' names no folder for site '{site}'")
        for folder in () if gang.scores else gang.shown_to(site):
            if not folder.is_dir():
                raise ConfigError(
                    f"{folder}: the prepared data of site '{site}' are missing; prepare them first"
                )
    for folder in (gang.state, gang.results):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file, expected a folder or nothing; move it away")
    _check_results(gang)


def _check_results(gang: Gang) -> None:
    """Refuse a results folder whose replacement would delete what is not a result."""
    results = gang.results.resolve()
    inputs = (Path.cwd(), Path.home(), gang.state, gang.spec, *gang.prepared.values())
    for path in inputs:
        if path.resolve().is_relative_to(results):
            raise ConfigError(
                f"--results {gang.results}: holds {path}, and a finished run replaces all it finds there; "
                "name a folder for this run alone"
            )
