"""A step of split learning whose site's parts are trained by DP-SGD, where they leave: handed on or averaged.

    g_p = sum of the gradients of patient p's records, over front and head       g_p <- g_p min(1, C / |g_p|)
    w   <- w - eta (sum_p g_p + s C z) / b                                        b records in the batch

The batch is the schedule's, which others know: nothing is amplified by sampling. What comes down is a
function of what all records told the coordinator before, so that this holds only where that was under noise
too.
"""

from opacus.grad_sample import GradSampleModule
from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import guard_of
from coordinator.algorithms.split_steps import come_down, go_up, head_batch
from coordinator.privacy.dp_sgd import clipped_sum, laid_flat, quietly, recorded, under_noise
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Batch


def site_batch_privately(party: Party, item: Batch, channel: SiteChannel) -> None:
    """Do the site's half of a step."""
    plain, count = party.parts, len(item.records)
    wrapped = {name: GradSampleModule(part, loss_reduction="sum") for name, part in plain.items()}
    party.parts = wrapped
    with quietly():
        passed, loss = go_up(party, item, channel), 0.0
        if party.run.labels == "private":
            loss = head_batch(party, item, passed.labels, channel)
        come_down(party, item, passed, channel)
    party.parts = plain
    gradients = [each * count for part in plain.values() for each in recorded(part, count)]
    for each in wrapped.values():
        each.to_standard_module()
    descend(party, item, gradients)
    party.count(loss, count, party.index)


def descend(party: Party, item: Batch, gradients: list[Tensor]) -> None:
    """Apply records' gradients (records, ...), clipped by patient and under noise, and write that down."""
    guard, settings = guard_of(party), party.run.privacy.dp_sgd
    assert settings is not None
    summed = clipped_sum(gradients, guard.patients[item.records], settings.clip)
    key = guard.secret.key("dp_sgd", item.position, laid_flat(summed))
    guard.charge_batch(key, item.records)
    noised = under_noise(summed, settings.clip, guard.step_scale, key)
    parameters = [each for part in party.parts.values() for each in part.parameters()]
    for parameter, gradient in zip(parameters, noised, strict=True):
        parameter.grad = gradient / len(item.records)
    for optimizer in party.optimizers.values():
        optimizer.descend(item.round)
