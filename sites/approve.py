"""``python -m sites approve``: show a steward what a run asks of this site, and write that it may."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from coordinator import specs
from coordinator.config import Approved, Policy
from coordinator.errors import ConfigError
from coordinator.protocol.keys import COORDINATOR, Manifest, read_manifest
from coordinator.specs import Agreement, Estimation, Run
from sites import policy as policies
from sites.approval import approval_of, name_of, not_approved, not_permitted, parties_of, rounds_of
from sites.gate import CONVERSATION, LABELS, released_by

Rows = Iterator[tuple[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--spec", type=Path, nargs="+", required=True, help="runs, agreements and estimations, from the plan"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="every party's public keys")
    parser.add_argument("--policy", type=Path, required=True, help="this site's policy.yaml")
    parser.add_argument("--show", action="store_true", help="only show; approve nothing")


def run(options: argparse.Namespace) -> int:
    """Show every spec, and approve them all or none.

    Raises:
        ConfigError: a file is missing or wrong, or the policy does not permit one of them.
    """
    policy, manifest = policies.read_policy(options.policy), read_manifest(options.manifest)
    own = policies.site_of(policy, options.policy)
    approvals = {}
    for path in options.spec:
        spec = specs.read_any(path)
        approvals[name_of(spec)] = approval_of(spec, manifest)
        show(spec, approvals[name_of(spec)], policy, manifest)
        _check_parties(spec, manifest, options.manifest)
        if problems := not_permitted(policy, own, spec):
            raise ConfigError(f"{options.policy}: does not permit {name_of(spec)}: {'; '.join(problems)}")
    if options.show:
        print(f"nothing was approved; without --show it is written into {options.policy}")
        return 0
    policies.approve(options.policy, approvals)
    print(f"approved in {options.policy}: {', '.join(approvals)}")
    return 0


def show(spec: Run | Agreement | Estimation, approval: Approved, policy: Policy, manifest: Manifest) -> None:
    """Print what is asked, as a plain table that a person reads before approving."""
    print(name_of(spec))
    described = of_run(spec, policy) if isinstance(spec, Run) else of_counts(spec)
    rows = [*of_any(spec), *described, *of_parties(approval)]
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        print(f"  {key:<{width}}  {value}")
    if name_of(spec) in policy.approved and (changes := not_approved(policy, spec, manifest)):
        print("  differs from what was approved before:")
        print("".join(f"    {change}\n" for change in changes), end="")


def of_any(spec: Run | Agreement | Estimation) -> Rows:
    """Describe what all kinds have in common."""
    yield "study", spec.study
    yield "task", spec.task
    if not isinstance(spec, Estimation):
        yield "seed", str(spec.seed)
    yield "sites", ", ".join(spec.sites)
    yield "leaves this site", ", ".join(sorted(released_by(spec) - {CONVERSATION})) or "nothing"


def of_counts(spec: Agreement | Estimation) -> Rows:
    """Describe an agreement on statistics, or an estimation."""
    yield "smallest cell", f"{spec.min_cell} records"
    if isinstance(spec, Estimation):
        yield "of the scores by", ", ".join(spec.runs)
        return
    yield "normalisation", f"kept as in {spec.frozen}" if spec.frozen else "agreed anew"


def of_run(run_: Run, policy: Policy) -> Rows:
    """Describe a training run."""
    training, most = run_.training, policy.limits.rounds
    model = run_.model.model_dump(mode="json", exclude_defaults=True)
    settings = ", ".join(f"{key} {json.dumps(value)}" for key, value in model.items() if key != "name")
    yield "strategy", run_.strategy if run_.strategy == run_.preset else f"{run_.strategy} ({run_.preset})"
    yield "model", f"{run_.model.name}{': ' if settings else ''}{settings}"
    yield "cut after", ", ".join(run_.cut) if run_.algorithm == "split" else "not cut"
    yield "labels", "shared with the coordinator" if LABELS in released_by(run_) else "stay at the site"
    yield "learning rates", ", ".join(map(str, training.learning_rates))
    yield (
        "rounds",
        f"{training.rounds}, over all rates {rounds_of(run_)}; limit: {'none' if most is None else most}",
    )
    yield "test scores", "released, of each record" if run_.release == "predictions" else "not released"
    recorded = "nothing" if run_.record_round is None else f"round {run_.record_round + 1}, for attacks"
    yield "recorded", recorded


def of_parties(approval: Approved) -> Rows:
    """List whose code and keys they are."""
    for package, value in approval.code.items():
        yield f"code of {package}", value
    for party, value in approval.manifest.items():
        yield f"fingerprint {party}", value


def _check_parties(spec: Run | Agreement | Estimation, manifest: Manifest, path: Path) -> None:
    lacking = [name for name in (COORDINATOR, *parties_of(spec)) if name not in manifest]
    if lacking:
        raise ConfigError(
            f"{path}: no keys of {', '.join(lacking)}; ask for the manifest after all have been admitted"
        )
