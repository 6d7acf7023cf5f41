"""A site's policy: what may leave it, how much, and what its steward approved."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from coordinator.config.privacy import Budget
from coordinator.config.values import Count, Gate, Name, Positive, Record

Release = Literal[
    "activations", "labels", "weights", "metrics", "aggregates", "sealed parts", "gradients",
    "gradient norms", "masked weights", "estimates",
]  # fmt: skip
WorkName = Annotated[
    str,
    StringConstraints(
        pattern=r"^((run(/[a-z][a-z0-9_]*){3}|agreement(/[a-z][a-z0-9_]*){2})/[0-9]{1,10}"
        r"|estimation(/[a-z][a-z0-9_]*){2})$"
    ),
]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{4}-){7}[0-9a-f]{4}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=1, le=10**18)]
Times = Annotated[int, Field(ge=0, le=10**9)]


class Limits(Record):
    """How much may leave in a run, over all its attempts: neither a restart nor a rollback begins anew."""

    bytes: Bytes | None = Field(None, description="of all messages to the coordinator; empty: no limit")
    rounds: Times | None = Field(
        None,
        description="rounds, over all learning rates; one repeated after a rollback counts again; empty: no "
        "limit",
    )
    steps: Times | None = Field(
        None,
        description="split: batches whose activations leave to train; one repeated after a rollback counts "
        "again; empty: no limit",
    )
    releases_per_record: Times | None = Field(
        None,
        description="split: how often the activations of any one record may leave, in training, validation "
        "and test, repeats counted; empty: no limit",
    )
    rollbacks: Times | None = Field(
        None, description="how often the run may go back to a commit, or begin anew; empty: no limit"
    )


class Approved(Record):
    """One run or agreement, as the steward saw it."""

    code: dict[Name, Sha256] = Field(description="package to the hash of its sources")
    manifest: dict[Name, Fingerprint] = Field(description="each party's keys")
    spec: dict[str, JsonValue] = Field(description="the resolved run or agreement, whole")


class Policy(Record):
    """One site's own file; nobody else writes it."""

    site_file: str | None = Field(
        None,
        description="this site's file, as in config/sites/, beside the policy or by its path: its "
        "allow_recording and allow_models hold here too; empty: neither a recording nor a network of a "
        "study's own",
    )
    releases: tuple[Release, ...] = Field(
        description="what may leave: activations, labels, weights, metrics, aggregates, sealed parts, "
        "gradients, gradient norms, masked weights, estimates"
    )
    smallest_cell: Count = Field(
        5, description="aggregates, estimates: a study with a smaller min_cell is refused"
    )
    limits: Limits = Field(default_factory=Limits, description="how much may leave in a run")
    gate: Gate = Field(
        "inside",
        description="outside: this site trains only beside `python -m sites gate`, which alone has keys, "
        "policy, ledger and a way out",
    )
    largest_gradient: Positive | None = Field(
        None,
        description="a gradient that comes down and is longer (L2 norm of all its numbers) ends this site's "
        "part in the run, and so does anything that comes down and is not finite; empty: neither does",
    )
    budget: Budget | None = Field(
        None,
        description="what a patient's records may tell at most over all runs, one patient replaced: each run "
        "takes its whole privacy.budget before it begins, kept in spent.jsonl beside the policy, and a run "
        "without one is refused; empty: each run by itself",
    )
    approved: dict[WorkName, Approved] = Field(
        default_factory=dict, description="written by `python -m sites approve`"
    )
