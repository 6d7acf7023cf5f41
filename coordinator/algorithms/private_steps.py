"""A step of DP-SGD on this party's records (`coordinator.privacy.dp_sgd`), where the model will leave."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import guard_of
from coordinator.algorithms.training import floats, losses_of
from coordinator.models.stages import Part
from coordinator.privacy.dp_sgd import clipped_sum, laid_flat, record_gradients, sampled, under_noise
from coordinator.privacy.guard import Guard, Indices
from coordinator.schedule import Batch


def train_privately(party: Party, batch: Batch, extra: Callable[[Part], Tensor] | None = None) -> None:
    """Do a step in the place of a batch; `extra` is a term of the loss that no record enters, as FedProx's.

    The batch's own records are the study's draw, which the coordinator knows; they are not looked at.
    """
    guard, model = guard_of(party), party.parts["model"]
    records = drawn(guard, batch, model)
    summed, loss = clipped_gradients(party, guard, batch, records)
    parameters = list(model.parameters())
    for parameter, gradient in zip(parameters, noised(guard, batch, summed), strict=True):
        parameter.grad = gradient / (guard.sample_rate * len(party.rows.train.labels))
    if extra is not None:
        extra(model).backward()
    party.optimizers["model"].descend(batch.round)
    # how many there were is as secret as who
    party.count(loss, len(batch.records), batch.site)


def drawn(guard: Guard, batch: Batch, model: Part) -> Indices:
    """Draw a step's records; with another model in the same place, others."""
    key = guard.secret.key("sample", batch.position, laid_flat(floats(model)))
    return sampled(key, guard.patients, guard.sample_rate)


def clipped_gradients(
    party: Party, guard: Guard, batch: Batch, records: Indices
) -> tuple[list[Tensor], float]:
    """Give the sum of the patients' clipped gradients, in the model's order, and the records' mean loss."""
    settings, model, train = guard.run.privacy.dp_sgd, party.parts["model"], party.rows.train
    assert settings is not None
    if not len(records):
        return [torch.zeros_like(each) for each in model.parameters()], 0.0
    inputs = train.batch(records, (party.run.seed, "augment", *batch.draw))
    labels = train.labels[records].to(party.device)

    def losses(wrapped: nn.Module) -> Tensor:
        logits = wrapped(inputs, (party.run.seed, "forward", *batch.draw))
        return losses_of(logits, labels, party.class_weights)

    gradients, each = record_gradients(model, losses)
    return clipped_sum(gradients, guard.patients[records], settings.clip), float(each.mean())


def noised(guard: Guard, batch: Batch, summed: list[Tensor]) -> list[Tensor]:
    """Write a step down in the account, and give its gradients under noise."""
    settings = guard.run.privacy.dp_sgd
    assert settings is not None
    key = guard.secret.key("dp_sgd", batch.position, laid_flat(summed))
    guard.charge_step(key)
    return under_noise(summed, settings.clip, guard.step_scale, key)
