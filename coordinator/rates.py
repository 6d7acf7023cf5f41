"""The learning rate of a round: a pure function of the training keys, the same in every arm."""

from math import cos, pi

from coordinator.config import Training


def rate_at(training: Training, learning_rate: float, round_: int) -> float:
    """Give the learning rate of a round, counted from 0.

    Over the first W = `warm_up` rounds it rises in W + 1 equal steps (Goyal 2017, section 2.2); then, with
    t rounds since, T rounds after the warm-up in all and eta the grid's rate, it is

        constant  eta
        cosine    eta (1 + cos(pi t / T)) / 2            (Loshchilov & Hutter 2017, eq. 5, no restart)
        step      eta `step_factor` ^ floor(t / `step_rounds`)
    """
    if round_ < training.warm_up:
        return learning_rate * (round_ + 1) / (training.warm_up + 1)
    since, rounds = round_ - training.warm_up, training.rounds - training.warm_up
    if training.schedule == "cosine":
        return learning_rate * (1 + cos(pi * since / rounds)) / 2
    if training.schedule == "step":
        return float(learning_rate * training.step_factor ** (since // training.step_rounds))
    return learning_rate
