"""What a run's messages may weigh: more is refused before memory is taken for it."""

from math import prod

from coordinator.algorithms.building import outline_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.training import EVALUATION_BATCH
from coordinator.specs import Run

HEADER_BYTES = 256  # about, of any message
SLACK_BYTES = 1024 * 1024
FLOAT_BYTES = 4
BUFFER_FLOATS = 2  # an integer one takes eight bytes
STATES_PER_PARAMETER = 4  # a parameter, and up to two moments and a step of its optimizer


def message_limit(run: Run, cohort: Cohort) -> int:
    """Give the bytes of arrays that one message of a run may carry."""
    stages = outline_of(run, cohort.shape).values()
    held = sum(STATES_PER_PARAMETER * s.parameters + BUFFER_FLOATS * s.buffers for s in stages)
    widest = max(prod(s.shape) for s in stages)
    records = max(EVALUATION_BATCH, run.training.batch_size) * (widest + 1)
    return FLOAT_BYTES * (held + records) + SLACK_BYTES


def ahead_limit(run: Run, cohort: Cohort) -> int:
    """Give the bytes that a site may have sent before the coordinator hears them.

    In a split arm a site sends all its validation activations at once; in a local arm the reports of
    rounds that the others have not reached yet. Beyond that a site waits for an answer.
    """
    stages = outline_of(run, cohort.shape).values()
    activations = max(cohort.validation) * (max(prod(s.shape) for s in stages) + 1) * FLOAT_BYTES
    reports = run.training.rounds * len(run.training.learning_rates) * len(run.sites)
    batches = max(cohort.validation) // EVALUATION_BATCH + 1
    return 2 * message_limit(run, cohort) + activations + HEADER_BYTES * (reports + batches)
