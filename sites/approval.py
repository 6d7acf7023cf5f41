"""Whether a run or an agreement is what this site's steward approved, and the policy permits it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from coordinator.code import code_hash
from coordinator.config import Approved, Policy, Site
from coordinator.errors import ConfigError
from coordinator.protocol.keys import COORDINATOR, Manifest, fingerprint
from coordinator.specs import Agreement, Estimation, Run
from sites.gate import CONVERSATION, released_by
from sites.lifetime import unbudgeted
from sites.policy import site_of

PACKAGES: Final = ("coordinator", "sites")  # what runs at a site: training, and what reads and sends
LONGEST_SHOWN: Final = 200  # characters of a value
NOTHING: Final = object()


def check_join(
    policy: Policy, path: Path, site: str, spec: Run | Agreement | Estimation, manifest: Manifest
) -> None:
    """Refuse to take part in what was not approved, or is not permitted.

    Raises:
        ConfigError: key by key, what was approved and what was found.
    """
    own = site_of(policy, path)
    name, parties = name_of(spec), parties_of(spec)
    if own and own.name != site:
        raise ConfigError(f"{path}: site_file is that of '{own.name}', and this site joins as '{site}'")
    problems = [*not_approved(policy, spec, manifest), *not_permitted(policy, own, spec)]
    if site not in parties:
        problems.append(f"parties: '{site}' takes no part in it, only {', '.join(parties)}")
    if problems:
        raise ConfigError(
            f"{path}: {name} is not what this site's steward approved; nothing was sent\n"
            + "".join(f"  {problem}\n" for problem in problems)
            + "ask who leads the study; `python -m sites approve` shows the whole and approves it"
        )


def name_of(spec: Run | Agreement | Estimation) -> str:
    """Name a run, an agreement or an estimation as policies list it."""
    last = (spec.strategy,) if isinstance(spec, Run) else ()
    seed = () if isinstance(spec, Estimation) else (str(spec.seed),)
    return "/".join((spec.kind, spec.study, spec.task, *last, *seed))


def parties_of(spec: Run | Agreement | Estimation) -> tuple[str, ...]:
    """Name who takes part beside the coordinator."""
    return spec.parties if isinstance(spec, Run) else spec.sites


def approval_of(spec: Run | Agreement | Estimation, manifest: Manifest) -> Approved:
    """Give what a steward approves: of the manifest, the keys of those who take part and are in it."""
    parties = [name for name in (COORDINATOR, *parties_of(spec)) if name in manifest]
    return Approved(
        code={package: code_hash(package) for package in PACKAGES},
        manifest={name: fingerprint(manifest[name]) for name in parties},
        spec=spec.model_dump(mode="json"),
    )


def not_approved(policy: Policy, spec: Run | Agreement | Estimation, manifest: Manifest) -> list[str]:
    """Say what differs from what was approved, a sentence each."""
    name, found = name_of(spec), approval_of(spec, manifest).model_dump(mode="json")
    if name not in policy.approved:
        known = ", ".join(policy.approved) or "nothing"
        return [f"{name} was never approved; approved: {known}"]
    approved = policy.approved[name].model_dump(mode="json")
    of_spec = differences(approved.pop("spec"), found.pop("spec"))
    return [*of_spec, *differences(approved, found)]


def not_permitted(policy: Policy, own: Site | None, spec: Run | Agreement | Estimation) -> list[str]:
    """Say what the policy forbids of a spec, a sentence each."""
    own = own or Site(name="site")
    problems = []
    if more := sorted(released_by(spec) - {CONVERSATION, *policy.releases}):
        problems.append(f"releases: it releases {', '.join(more)}, which the policy does not list")
    if not isinstance(spec, Run):
        if spec.min_cell < policy.smallest_cell:
            problems.append(f"smallest_cell: the policy says {policy.smallest_cell}, found {spec.min_cell}")
        return problems
    most, rounds = policy.limits.rounds, rounds_of(spec)
    if most is not None and rounds > most:
        problems.append(f"limits.rounds: the policy says {most}, it has {rounds} over all learning rates")
    if spec.record_round is not None and not own.allow_recording:
        problems.append("record_round: it is recorded, and the site's file does not say allow_recording")
    if (problem := unbudgeted(policy, spec)) is not None:
        problems.append(problem)
    if spec.model.path is not None and spec.model.path not in own.allow_models:
        problems.append(f"model.path: the site's file does not list {spec.model.path} in allow_models")
    return problems


def rounds_of(run: Run) -> int:
    """Count a run's rounds, over all learning rates."""
    return run.training.rounds * len(run.training.learning_rates)


def differences(approved: Mapping[str, Any], found: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Compare plain values key by key; a sentence for each key that differs."""
    for key in dict.fromkeys((*approved, *found)):
        before, now = approved.get(key, NOTHING), found.get(key, NOTHING)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now, f"{where}{key}.")
        elif (one := _shown(before)) != (other := _shown(now)):
            yield f"{where}{key}: approved {_short(one, other)}, found {_short(other, one)}"


def _shown(value: object) -> str:
    return "nothing" if value is NOTHING else json.dumps(value, sort_keys=True)


def _short(text: str, other: str) -> str:
    """Shorten a long value to what lies about its first difference from another."""
    if len(text) <= LONGEST_SHOWN:
        return text
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), len(other))
    start = max(0, min(same, len(text)) - LONGEST_SHOWN // 2)
    return f"…{text[start : start + LONGEST_SHOWN]}…"
