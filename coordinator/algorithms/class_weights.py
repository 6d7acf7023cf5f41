"""Class weights: w_c = n / (2 n_c), so that both classes weigh the same in the loss (King & Zeng 2001).

n counts training records and n_c those of the class. Every arm that trains together, the pool included, has
one vector, from the counts that the sites agreed on; `local` has its site's own. A site whose count is too
small to leave it is left out of both n and n_c, in every arm alike.
"""

from coordinator.algorithms.training import Weights
from coordinator.errors import DataError
from coordinator.specs import Run


def balanced(records: int, events: int) -> Weights:
    """Give the weights of records without and with the outcome; 1 each where one class has no record."""
    without = records - events
    return (records / (2 * without), records / (2 * events)) if events and without else (1.0, 1.0)


def agreed_weights(run: Run, train: tuple[int, ...], events: tuple[int | None, ...]) -> Weights:
    """Give the one vector of a collaborative arm, from each hospital's counts.

    Raises:
        DataError: no site with training records may tell how many of them have the outcome.
    """
    told = [(n, count) for n, count in zip(train, events, strict=True) if n and count is not None]
    if not told:
        raise DataError(
            f"class_weights: balanced needs the number of training records with the outcome, and no site of "
            f"'{run.task}' may tell it (fewer than min_cell patients in a class); set class_weights: none"
        )
    return balanced(sum(n for n, _ in told), sum(count for _, count in told))
