"""What a run's messages may weigh: more is refused before memory is taken for it."""

from math import prod

from coordinator.algorithms.party import Cohort, builders_of
from coordinator.algorithms.training import EVALUATION_BATCH
from coordinator.models.stages import outline
from coordinator.specs import Run

SLACK_BYTES = 1024 * 1024
FLOAT_BYTES = 4
STATES_PER_PARAMETER = 4  # a parameter, and up to two moments and a step of its optimizer


def message_limit(run: Run, cohort: Cohort) -> int:
    """Give the bytes of arrays that one message of a run may carry."""
    stages = outline(builders_of(run, cohort.shape), cohort.shape).values()
    parameters, widest = sum(s.parameters for s in stages), max(prod(s.shape) for s in stages)
    records = max(EVALUATION_BATCH, run.training.batch_size) * (widest + 1)
    return FLOAT_BYTES * (STATES_PER_PARAMETER * parameters + records) + SLACK_BYTES
