"""Optimizers as torch's own kernels over named state that can be handed on.

torch's optimizer classes import its compiler, two seconds in every process, and their functional forms take a
third of a small network's step for looking at what they are given (12 of 38 us); the fused kernels beneath,
which do the arithmetic, do neither. They are used always, so that every arm does the same.
"""

import torch
from torch import Tensor, nn

from coordinator.config import Training
from coordinator.errors import ProtocolError
from coordinator.rates import rate_at

BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch's defaults


class Optimizer:
    """Plain or momentum SGD, Adam or AdamW over a module's parameters."""

    def __init__(self, module: nn.Module, training: Training, learning_rate: float) -> None:
        """Start with no past: every moment is zero."""
        self._parameters: list[Tensor] = list(module.parameters())
        self.training, self._rate = training, learning_rate
        self._contiguous = all(p.is_contiguous() for p in self._parameters)
        self._adam = training.optimizer != "sgd"
        self._first = (
            [torch.zeros_like(p) for p in self._parameters] if self._adam or training.momentum else []
        )
        self._second = [torch.zeros_like(p) for p in self._parameters] if self._adam else []
        self._steps = [torch.tensor(0.0, device=p.device) for p in self._parameters] if self._adam else []

    def backward(self, loss: Tensor) -> None:
        """Compute a loss's gradients () by these parameters alone, and leave none in others that it is of."""
        if self._parameters:
            loss.backward(inputs=self._parameters)

    @torch.no_grad()
    def descend(self, round_: int, shortened: Tensor | None = None) -> None:
        """Apply the gradients at the round's learning rate and forget them.

        Args:
            round_: the round the step stands in.
            shortened: what the gradients are multiplied by first (), where they are clipped.
        """
        gradients, rate = self._gradients(), rate_at(self.training, self._rate, round_)
        if shortened is not None:
            gradients = [gradient * shortened for gradient in gradients]
        if not gradients:  # stages without parameters
            return
        if self._adam:
            self._adam_step(gradients, rate)
        else:
            self._sgd_step(gradients, rate)
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def norms(self) -> Tensor:
        """Give the length of every parameter's gradient (parameters,), in the model's order."""
        return torch.stack([torch.linalg.vector_norm(gradient) for gradient in self._gradients()]).cpu()

    def state(self) -> dict[str, Tensor]:
        """Name every tensor that the next step depends on, beside the parameters."""
        kinds = {"first": self._first, "second": self._second, "step": self._steps}
        return {
            f"{kind}/{index}": value for kind, values in kinds.items() for index, value in enumerate(values)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from another's state.

        Raises:
            ProtocolError: it is not the state of such an optimizer over such parameters.
        """
        own = self.state()
        if {name: value.shape for name, value in own.items()} != {
            name: value.shape for name, value in state.items()
        }:
            raise ProtocolError(
                "an optimizer's state does not fit this model and optimizer; use the same spec everywhere"
            )
        for name, value in own.items():
            value.copy_(state[name])

    def _gradients(self) -> list[Tensor]:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        if self._contiguous:
            return gradients
        return [_laid_out_like(*each) for each in zip(self._parameters, gradients, strict=True)]

    def _adam_step(self, gradients: list[Tensor], rate: float) -> None:
        torch._foreach_add_(self._steps, 1)
        fused = torch._fused_adamw_ if self.training.optimizer == "adamw" else torch._fused_adam_
        fused(
            self._parameters, gradients, self._first, self._second, [], self._steps,
            lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.training.weight_decay, eps=EPSILON,
            amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
        )  # fmt: skip

    def _sgd_step(self, gradients: list[Tensor], rate: float) -> None:
        torch._fused_sgd_(
            self._parameters, gradients, self._first, weight_decay=self.training.weight_decay,
            momentum=self.training.momentum, lr=rate, dampening=0.0, nesterov=False, maximize=False,
            is_first_step=False, grad_scale=None, found_inf=None,
        )  # fmt: skip


def _laid_out_like(parameter: Tensor, gradient: Tensor) -> Tensor:
    # the fused kernels walk through memory and look at no strides
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
