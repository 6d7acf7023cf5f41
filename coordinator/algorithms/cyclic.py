"""Cyclical weight transfer (Chang 2018): the whole model travels from site to site, sealed.

The arithmetic of sequential split learning without a cut: the same batches in the same order.
"""

from torch import Tensor

from coordinator.algorithms import handing_on
from coordinator.algorithms.adapting import predict_adapted
from coordinator.algorithms.handing_on import common
from coordinator.algorithms.local import coordinator_predict, hear, report, train_here
from coordinator.algorithms.party import Party, begin, validate_whole, whole
from coordinator.algorithms.party import whole_at_sites as parts_of
from coordinator.algorithms.selection import announce, heed
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Batch, Begin, HandOn, Item, Validate
from coordinator.walking import CatchUp

__all__ = [
    "common", "coordinator_predict", "coordinator_step", "parts_of", "rehear", "resend", "site_predict",
    "site_step",
]  # fmt: skip


def site_step(party: Party, item: Item, channel: SiteChannel) -> Party:
    """Train in this site's turn, and hand the model on."""
    match item:
        case Begin():
            return begin(party, item, whole(party.run))
        case Batch() if item.site == party.index:
            train_here(party, item)
        case HandOn() if party.index == item.giver:
            handing_on.give(party, item, channel)
        case HandOn() if party.index in item.takers:
            handing_on.take(party, item, channel)
        case Validate():
            report(validate_whole(party), (item.trial, item.round), channel, party.index)
            heed(party, (item.trial, item.round), channel)
        case _:
            pass
    return party


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """Pass the sealed model on, hear how it does, and say when it was best."""
    match item:
        case HandOn():
            handing_on.relay(item, channel)
        case Validate():
            at = (item.trial, item.round)
            announce(party, hear(party, channel, at), at, channel)
        case _:
            pass
    return party


def site_predict(party: Party, channel: SiteChannel) -> list[Tensor]:
    """Give the best model's test logits (records, outputs); a site that trained nothing has the model too."""
    return predict_adapted(party)


def resend(party: Party, item: CatchUp, site: int, channel: CoordinatorChannel) -> None:
    """Nothing else is told to a site that is back."""


def rehear(party: Party, item: CatchUp, channel: SiteChannel) -> None:
    """Nothing else is heard."""
