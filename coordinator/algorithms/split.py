"""Split learning: the first layers stay at the site, activations go up, gradients come down.

With labels shared (vanilla: Gupta & Raskar 2018) a step is

    site         a = f(x; w_front)            sends a, y
    coordinator  l = L(g(a; w_back), y)       w_back <- w_back - eta dl/dw_back     sends dl/da
    site                                      w_front <- w_front - eta (dl/da)(da/dw_front)

With labels private (U-shaped: Vepakomma 2018) the head, the labels and the loss stay at the site:

    site         a = f(x; w_front)            sends a
    coordinator  m = g(a; w_middle)           sends m
    site         l = L(h(m; w_head), y)       w_head <- ...                          sends dl/dm
    coordinator                               w_middle <- ...                        sends dl/da
    site                                      w_front <- ...

Who else trains, and when, are axes of one algorithm (`coordinator.presets`): the sites' parts travel from
site to site, sealed, with their optimizer's state (`handing_on`); or are averaged each round, as may be the
coordinator's copies of the back (`averaging`); or never leave the site; or all sites' records make one step
(`joint`).
"""

from coordinator.algorithms import averaging, handing_on, joint
from coordinator.algorithms.building import builders_of, outline_of
from coordinator.algorithms.norm_exchange import globally
from coordinator.algorithms.party import Party, begin
from coordinator.algorithms.protecting import check_parts
from coordinator.algorithms.split_scoring import (
    coordinator_predict,
    coordinator_validate,
    site_predict,
    site_validate,
)
from coordinator.algorithms.split_steps import coordinator_batch, site_batch
from coordinator.algorithms.training import floats
from coordinator.models.catalog import stage_names
from coordinator.models.stages import Shape, build, cut
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Average, Batch, Begin, HandOn, Item, JointBatch
from coordinator.specs import Run
from coordinator.walking import CatchUp

__all__ = [
    "common", "coordinator_predict", "coordinator_step", "parts_of", "rehear", "resend", "site_predict",
    "site_step",
]  # fmt: skip

Parts = dict[str, tuple[str, ...]]


def parts_of(run: Run, shape: Shape = ()) -> tuple[Parts, Parts]:
    """Say which stages the site holds and which the coordinator.

    Args:
        run: the resolved run.
        shape: of one record; the stages of a network of the study's own are not known without.
    """
    pieces = cut(stage_names(run.model) or tuple(builders_of(run, shape)), run.cut)
    if run.labels == "shared":
        return {"front": pieces[0]}, {"back": pieces[1]}
    return {"front": pieces[0], "head": pieces[2]}, {"middle": pieces[1]}


def site_step(party: Party, item: Item, channel: SiteChannel) -> Party:
    """Walk one item at a site; another site's turn is none of its business."""
    match item:
        case Begin():
            start(party, item, parts_of(party.run, party.cohort.shape)[0])
            check_parts(party)
        case Batch() if item.site == party.index:
            site_batch(party, item, channel)
        case JointBatch():
            joint.site_joint(party, item, channel)
        case HandOn() if party.index == item.giver:
            handing_on.give(party, item, channel)
        case HandOn() if party.index in item.takers:
            handing_on.take(party, item, channel)
        case Average():
            averaging.site_average(party, item, channel)
        case Batch() | HandOn():
            pass
        case _:
            site_validate(party, (item.trial, item.round, party.index, -1), channel)
    return party


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """Walk one item at the coordinator."""
    match item:
        case Begin():
            return start_coordinator(party, item)
        case Batch():
            coordinator_batch(party, item, channel)
        case JointBatch():
            joint.coordinator_joint(party, item, channel)
        case HandOn():
            handing_on.relay(item, channel)
        case Average():
            averaging.coordinator_average(party, item, channel)
        case _:
            coordinator_validate(party, (item.trial, item.round), channel)
    return party


def start(party: Party, item: Begin, held: Parts) -> Party:
    """Build this party's parts, and work out the shapes that cross the cuts."""
    stages = outline_of(party.run, party.cohort.shape)
    party.shapes = {
        name: stages[last].shape for name, last in zip(("front", "middle"), party.run.cut, strict=False)
    }
    if globally(party):
        party.tensors = parameters_of(party)
    return begin(party, item, held)


def parameters_of(party: Party) -> dict[str, int]:
    """Count the parameters (tensors) of the front, of the coordinator's layers and of the head, if any."""
    builders, names = builders_of(party.run, party.cohort.shape), ("front", "middle", "head")
    pieces = cut(tuple(builders), party.run.cut)
    counts = [len(list(build(builders, party.run.seed, piece).parameters())) for piece in pieces]
    return dict(zip(names, [*counts, 0], strict=False))


def start_coordinator(party: Party, item: Begin) -> Party:
    """Build the coordinator's layers, with copies where they are averaged, and know what sites will send."""
    at_sites, here = parts_of(party.run, party.cohort.shape)
    start(party, item, here)
    if party.run.back == "averaged":
        party.copies, party.copy_optimizers = {}, {}
        averaging.copy_back(party, item.trial)
    if party.run.site_parts in ("averaged", "synchronous"):
        builders = builders_of(party.run, party.cohort.shape)
        theirs = [build(builders, party.run.seed, names) for names in at_sites.values()]
        began = [value for part in theirs for value in floats(part)]
        party.site_shapes = [tuple(value.shape) for value in began]
        party.server = {averaging.AT_SITES: began} if party.run.site_parts == "averaged" else {}
        party.site_parameters = [tuple(value.shape) for part in theirs for value in part.parameters()]
    return party


def common(party: Party) -> dict[str, list[str]]:
    """Name the tensors of the sites' parts that all sites have alike at a round's end."""
    if party.run.site_parts == "synchronous":  # gradients are added; buffers are each site's own
        return {name: [key for key, _ in part.named_parameters()] for name, part in party.parts.items()}
    found = handing_on.common(party)
    if party.run.site_parts == "handed_on":
        return found
    states = {name: part.state_dict() for name, part in party.parts.items()}
    return {
        name: [key for key in keys if states[name][key].is_floating_point()] for name, keys in found.items()
    }


def resend(party: Party, item: CatchUp, site: int, channel: CoordinatorChannel) -> None:
    """Nothing else is told to a site that is back."""


def rehear(party: Party, item: CatchUp, channel: SiteChannel) -> None:
    """Begin the next round with the optimizer that those begin with who were there in the average."""
    if party.run.site_parts == "averaged":
        averaging.restart(party, item.trial)
