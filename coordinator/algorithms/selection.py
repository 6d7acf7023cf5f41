"""Which round's model is kept, and when a trial of the grid has gone on for long enough.

Both by the validation loss over all hospitals, weighted by records (`site_weights: equal`: each alike), never
by test. Where sites train together one party decides and its verdict is everyone's; alone, each decides.
"""

from collections.abc import Sequence
from math import inf, isnan, nan

from coordinator.algorithms.party import Party, Validation, Waiting
from coordinator.algorithms.protecting import guard_of
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Budgeted, Verdict
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Run

REMEMBERED = 32  # rounds; of more than the last nothing depends on, and a run may have a million


def validation_loss(validations: Sequence[Validation], site_weights: str) -> float:
    """Combine the hospitals' validation losses in site order, by records or equally; NaN without a record."""
    seen = [validation for validation in validations if validation.records]
    if not seen:
        return nan
    if site_weights == "equal":
        return sum(each.loss / each.records for each in seen) / len(seen)
    return sum(each.loss for each in seen) / sum(each.records for each in seen)


def select(party: Party, validations: list[Validation], at: tuple[int, int]) -> bool:
    """Say whether this round's model is the best so far, by validation loss; the first wins ties.

    A model whose loss is not a number never replaces one whose loss is.
    """
    party.rounds = [*party.rounds[1 - REMEMBERED :], validations]
    loss = validation_loss(validations, party.run.site_weights)
    if loss < party.best_loss or isnan(party.best_loss):
        party.best_loss, party.best_at = loss, at
        return True
    return False


def keep(party: Party, at: tuple[int, int]) -> None:
    """Remember the parts as they are now, after this round."""
    party.kept_at = at
    party.best = {
        name: {key: value.detach().clone() for key, value in part.state_dict().items()}
        for name, part in party.parts.items()
    }


def out_of_patience(run: Run, waiting: Waiting, validations: Sequence[Validation], trial: int) -> bool:
    """Say whether a trial has had `patience` rounds in a row without a loss below its least (Prechelt 1998).

    Every trial of the grid counts anew. A loss that is not a number is never better. Without any validation
    record there is nothing to be impatient about.
    """
    if run.training.patience is None or not any(each.records for each in validations):
        return False
    if waiting.trial != trial:
        waiting.trial, waiting.least, waiting.rounds = trial, inf, 0
    loss = validation_loss(validations, run.site_weights)
    if loss < waiting.least:
        waiting.least, waiting.rounds = loss, 0
    else:
        waiting.rounds += 1
    return waiting.rounds >= run.training.patience


def decide(party: Party, validations: list[Validation], at: tuple[int, int]) -> bool:
    """Decide on a round: note whether the trial stops here, and say whether its model is the best so far."""
    if out_of_patience(party.run, party.waiting, validations, at[0]):
        party.stopped = at[0]
    return select(party, validations, at)


def announce(
    party: Party, validations: list[Validation], at: tuple[int, int], channel: CoordinatorChannel
) -> None:
    """Decide on a round, and tell every site; where one cannot afford another, all end."""
    if party.run.privacy.budget is not None:
        party.ended = not all(each.goes_on for each in channel.gather(Budgeted, (*at, 0, -1)))
    best = decide(party, validations, at)
    channel.broadcast(Verdict((*at, 0, -1), best, party.stopped == at[0], party.ended))
    if best:
        keep(party, at)


def heed(party: Party, at: tuple[int, int], channel: SiteChannel) -> None:
    """Hear what was decided on a round, and do so; first say whether the account bears another."""
    if party.run.privacy.budget is not None:
        channel.send(Budgeted((*at, party.index, -1), guard_of(party).goes_on(at)))
    verdict = channel.receive(Verdict, (*at, 0, -1))
    if verdict.best:
        keep(party, at)
    if verdict.stop:
        party.stopped = at[0]
    party.ended = verdict.end
