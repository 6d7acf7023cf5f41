"""Agreement on normalisation and vocabularies: aggregates go up, never rows; the merge comes down."""

import json
from pathlib import Path
from typing import Any

from coordinator.aggregates import Aggregates
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Aggregated, Agreed
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Agreement
from coordinator.statistics import merge, read_statistics, with_frozen


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
    if spec.frozen:
        statistics = with_frozen(statistics, read_statistics(Path(spec.frozen)))
    channel.broadcast(Agreed(json.dumps(statistics)))
    return statistics
