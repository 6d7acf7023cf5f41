"""What a person reads when a gang did not come to its good end: who, why, and what to do next."""

from collections.abc import Sequence
from pathlib import Path

from containers.gang import Gang
from containers.outcome import Outcome, advice, last_lines


def failure(gang: Gang, culprit: Outcome, others: list[Outcome], log: Path) -> str:
    """Name the party whose end came first, its cause, its last words, and what to do next."""
    what = f"{culprit.cause}, exit status {culprit.code}"
    text = [f"{gang.name}: failed, because party '{culprit.party}' ended first ({what}): {culprit.message}"]
    text += [f"  | {line}" for line in last_lines(log)]
    text += [f"  its log: {log}", f"  what to do: {advice(culprit)}"]
    followed = ", ".join(f"{other.party} ({other.cause})" for other in others if other.code != 0)
    return "\n".join([*text, *([f"  then: {followed}"] if followed else [])])


def lingering(gang: Gang, parties: Sequence[str]) -> str:
    """Say who stayed after the work was done."""
    logs = ", ".join(str(gang.state / party) for party in parties)
    return (
        f"{gang.name}: failed, because {', '.join(parties)} had not left long after the rest was done\n"
        f"  their logs: {logs}\n  what to do: look what they were waiting for; then run again"
    )
