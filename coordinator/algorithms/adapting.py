"""Adapting the final model to each site: n more epochs of what the site holds, on its own training records.

Where a model is cut, the site's layers w_s (front, and head where labels are private) learn against the
coordinator's layers w_c, which are frozen: no parameter, no buffer and no dropout of theirs changes or draws

    w_s <- w_s - eta dl(w_s, w_c)/dw_s        for every batch of n epochs

A site whose private layers have never trained so gets a new front. Elsewhere the whole model at the site goes
on. Our choices: each site begins with what the run left it, with a fresh optimizer, at the kept trial's
learning rate, which stays as it is; the schedule's rounds are over, so these epochs count as the round after
the last; the terms that tie sites to each other (FedProx, SCAFFOLD) are left out, and a gradient is clipped
by the length of the site's own part of it. A site without training records keeps what it has. Nothing of what
was adapted leaves its site.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor

from coordinator.algorithms.local import train_here
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.party import Party, restore, score, switch
from coordinator.algorithms.protecting import unpacked
from coordinator.algorithms.split_steps import site_batch
from coordinator.algorithms.tensors import labels_from, one, sent
from coordinator.algorithms.training import loss_of
from coordinator.config import Training
from coordinator.models.stages import Part, backward
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Activations, CutGradient, Features, HeadGradient
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Batch, round_of


def predict_adapted(party: Party) -> list[Tensor]:
    """Adapt the best model at this site, if the run says so, and give its test logits by hospital."""
    restore(party)
    with adapting(party):
        for batch in batches_after(party, party.index):
            train_here(party, batch)
    return [score(party, rows) for rows in party.rows.test]


def adapt_site(party: Party, channel: SiteChannel) -> bool:
    """Adapt this site's layers of a cut model; say whether there was anything to learn from."""
    batches = list(batches_after(party, party.index))
    with adapting(party):
        for batch in batches:
            site_batch(party, batch, channel)
    return bool(batches)


def answer_adapting(party: Party, site: int, channel: CoordinatorChannel) -> None:
    """Give a site that adapts its layers the gradients at the cut, and learn nothing."""
    ((_, part),) = party.parts.items()
    with frozen(part):
        for batch in batches_after(party, site):
            _answer(party, part, batch, channel)


def batches_after(party: Party, site: int) -> Iterator[Batch]:
    """Give a site's batches of the epochs after the last round."""
    run, records = party.run, party.cohort.train[site]
    return round_of(run, party.kept_at[0], run.training.rounds, site, records, run.adapt)


@contextmanager
def adapting(party: Party) -> Iterator[None]:
    """Train this party's parts with fresh optimizers, if the run adapts; afterwards they are to be scored."""
    run = party.run
    if not run.adapt:
        yield
        return
    training = unscheduled(run.training)
    # what is adapted never leaves, so that its steps need no noise
    privacy = run.privacy.model_copy(update={"dp_sgd": None})
    party.run = run.model_copy(update={"training": training, "privacy": privacy})
    rate = training.learning_rates[party.kept_at[0]]
    party.optimizers = {name: Optimizer(part, training, rate) for name, part in party.parts.items()}
    switch(party, training=True)
    yield
    party.run = run
    switch(party, training=False)


def unscheduled(training: Training) -> Training:
    """Keep the learning rate as it is, and clip by the length of what one party holds."""
    clip = training.clip and training.clip.model_copy(update={"scope": "party"})
    return training.model_copy(update={"schedule": "constant", "warm_up": 0, "clip": clip})


@contextmanager
def frozen(part: Part) -> Iterator[None]:
    """Compute no gradient of a part's parameters, only what goes through it."""
    trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    yield
    for parameter in trained:
        parameter.requires_grad_(True)


def _answer(party: Party, part: Part, item: Batch, channel: CoordinatorChannel) -> None:
    site, size = channel.sites[item.site], len(item.records)
    up = channel.receive(site, Activations, item.position)
    activations = unpacked(party.run, up.tensor, (size, *party.shapes["front"]), site).requires_grad_()
    output = part(activations)
    if party.run.labels == "shared":
        labels = labels_from(up.labels, size, party.run, site)
        loss_of(output, labels, party.class_weights).backward()
    else:
        channel.send(site, Features(item.position, sent(output)))
        gradient = channel.receive(site, HeadGradient, item.position).tensor
        backward(output, one(gradient, tuple(output.shape), site))
    channel.send(site, CutGradient(item.position, sent(cast(Tensor, activations.grad))))
    party.records_scored += 2 * size  # the gradient at a part's input costs what the way there does
