"""Networks over masked hourly grids."""

from functools import partial

from torch import Tensor, nn

from coordinator.config import Model
from coordinator.models.stages import Builders
from coordinator.models.tabular import layers


def stages(model: Model, shape: tuple[int, ...], outputs: int = 1) -> Builders:
    """Describe the GRU's stages (Cho 2014): (batch, steps, columns) in, (batch, outputs) logits out.

    The columns are the variables, carried forward, and as many masks (Che 2018's GRU-Forward with masks).

    Args:
        model: `gru`; the first hidden width is its state's, the others are layers after it.
        shape: (steps, columns).
        outputs: logits of a record.
    """
    width, *hidden = model.hidden
    first = {"gru": partial(LastState, shape[1], width, model.dropout)}
    return {**first, **layers(width, tuple(hidden), model.dropout, outputs)}


class LastState(nn.Module):
    """A GRU whose last state stands for the series: (batch, steps, columns) to (batch, width)."""

    def __init__(self, columns: int, width: int, dropout: float) -> None:
        """Make one layer."""
        super().__init__()
        self.gru = nn.GRU(columns, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, value: Tensor) -> Tensor:
        """Walk the steps."""
        _, last = self.gru(value)
        dropped: Tensor = self.dropout(last[0])
        return dropped
