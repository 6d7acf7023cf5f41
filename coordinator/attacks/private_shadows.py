"""Steps of DP-SGD, by which shadow models are trained as an attacked model was that was trained so.

Membership inference that knows of the defence compares with models that were clipped and noised alike: of
ordinary ones it would expect far more sureness. What the attacker cannot know is who was drawn in a step, nor
the noise; it draws its own.
"""

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Draw, Weights, class_weight_of
from coordinator.attacks.membership import Step
from coordinator.draws import key
from coordinator.models.stages import Part, Value
from coordinator.privacy.dp_sgd import clipped_sum, record_gradients, under_noise
from coordinator.privacy.secret_noise import SECRET_BYTES


def private_step(clip: float, scale: float) -> Step:
    """Make a step (Abadi 2016, algorithm 1) over a batch, in which each record is a patient.

    Args:
        clip: a record's gradient that is longer is shortened to it.
        scale: of the noise, in clips.
    """

    def step(
        model: Part, optimizer: Optimizer, inputs: Value, labels: Tensor, draw: Draw, *,
        round_: int, weights: Weights | None,
    ) -> None:  # fmt: skip
        def losses(wrapped: nn.Module) -> Tensor:
            weight = class_weight_of(labels, weights)
            logits = wrapped(inputs, draw)[:, 0]
            return binary_cross_entropy_with_logits(logits, labels, weight, reduction="none")

        gradients, _ = record_gradients(model, losses)
        summed = clipped_sum(gradients, np.arange(len(labels)), clip)
        noised = under_noise(summed, clip, scale, key("shadow noise", *draw).to_bytes(SECRET_BYTES, "little"))
        for parameter, gradient in zip(model.parameters(), noised, strict=True):
            parameter.grad = gradient / len(labels)
        optimizer.descend(round_)

    return step
