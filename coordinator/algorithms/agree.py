"""Agreement on normalisation and vocabularies: aggregates go up, never rows; the merge comes down."""

import json
from typing import Any

from coordinator.protocol.channel import CoordinatorChannel, SiteChannel
from coordinator.protocol.messages import Aggregated, Agreed
from coordinator.specs import Agreement
from coordinator.statistics import Aggregates, merge


def site_agree(aggregates: Aggregates, channel: SiteChannel) -> dict[str, Any]:
    """Send this site's aggregates, and give the merged statistics."""
    fields = Aggregated.__struct_fields__
    channel.send(Aggregated(**{name: getattr(aggregates, name) for name in fields}))
    statistics: dict[str, Any] = json.loads(channel.receive(Agreed).statistics)
    return statistics


def coordinator_agree(spec: Agreement, channel: CoordinatorChannel) -> dict[str, Any]:
    """Merge the sites' aggregates in site order, and give everyone the result."""
    heard = channel.gather(Aggregated)
    fields = Aggregated.__struct_fields__
    aggregates = [Aggregates(**{name: getattr(each, name) for name in fields}) for each in heard]
    statistics = merge(spec.task, spec.seed, dict(zip(channel.sites, aggregates, strict=True)))
    channel.broadcast(Agreed(json.dumps(statistics)))
    return statistics
