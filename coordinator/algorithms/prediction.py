"""A finished model on new records: whole in one place, or cut, with both halves of the conversation.

    site         a = f(x; w_front)      sends a, never a label
    coordinator  s = g(a; w_back)       sends s, or for a head at the site what the middle gives

Evaluation batches, evaluation mode, no draws: what a run's own final test computes, bit for bit.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from coordinator.algorithms import split
from coordinator.algorithms.cohort import Cohort, Rows, shape_of
from coordinator.algorithms.party import Party, Stages, begin, score, switch
from coordinator.algorithms.protecting import unpacked
from coordinator.algorithms.split_scoring import have_scored
from coordinator.algorithms.tensors import sent
from coordinator.algorithms.training import EVALUATION_BATCH
from coordinator.errors import ConfigError, ProtocolError
from coordinator.model_files import About, Tensors
from coordinator.protocol.messages import Activations, Features, Scores
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Begin
from coordinator.specs import Run


def ready(what: About, held: Stages, tensors: Tensors) -> Party:
    """Build the parts that a party holds, as they were when its run ended.

    Raises:
        ConfigError: the tensors are not those of these parts.
    """
    run = without_training(what.run)
    index = run.sites.index(what.party) if what.party in run.sites else -1
    party = Party(run, cohort_of(what.input_shapes), index)
    item = Begin(0, run.training.learning_rates[0])
    if run.algorithm == "split":
        split.start(party, item, {name: stages for name, stages in held.items() if stages})
    else:
        begin(party, item, held)
    for name, part in party.parts.items():
        try:
            part.load_state_dict(tensors.get(name, {}))
        except RuntimeError as error:
            raise ConfigError(f"the parts of '{what.party}' do not fit the model: {error}") from None
    switch(party, training=False)
    return party


def without_training(run: Run) -> Run:
    """Leave out of a run what only its training needs: counts of outcomes, and a GPU."""
    training = run.training.model_copy(update={"class_weights": "none"})
    return run.model_copy(update={"training": training, "devices": {}})


def cohort_of(input_shapes: Mapping[str, tuple[int, ...]]) -> Cohort:
    """Describe records of which only the shape is known."""
    return Cohort(shape_of(input_shapes), (), (), ())


def whole_logits(party: Party, rows: Rows) -> Tensor:
    """Give the logits (records, outputs) of a whole model at this party."""
    return score(party, rows)


def site_logits(party: Party, rows: Rows, channel: SiteChannel) -> Tensor:
    """Give the logits (records, outputs), asking the coordinator for its half."""
    logits = have_scored(party, rows, (-1, -1, party.index, -1), channel, share_labels=False)
    assert logits is not None
    return logits


@torch.inference_mode()
def coordinator_answer(party: Party, up: Activations, site: str) -> Features | Scores:
    """Run a site's activations through the coordinator's part.

    Raises:
        ProtocolError: they are not of this model, or of more records than a batch has, or labels came along.
    """
    trial, _, place, _ = up.position
    size = up.tensor.shape[0] if up.tensor.ndim else 0  # packed too, the first axis is the batch
    if (trial, place) != (-1, party.run.sites.index(site)) or not 1 <= size <= EVALUATION_BATCH:
        raise ProtocolError(
            f"'{site}' sent activations of {size} records at {up.position}, expected 1 to "
            f"{EVALUATION_BATCH} of its own, to be predicted"
        )
    if up.labels is not None:
        raise ProtocolError(f"'{site}' sent labels, which a prediction does not need; none was used")
    (part,) = party.parts.values()
    output = part(unpacked(party.run, up.tensor, (size, *party.shapes["front"]), site))
    party.records_scored += size
    return (Features if "middle" in party.parts else Scores)(up.position, sent(output))
