"""What comes down to a site, held against its policy: too long a gradient, or no numbers, ends its part."""

from typing import Any, Final

import numpy as np

from coordinator.errors import ProtocolError
from coordinator.protocol.messages import Array, CutGradient, Gradients, Message

GRADIENTS: Final = (CutGradient, Gradients)


def check_incoming(message: Message, largest: float | None) -> None:
    """Refuse what a policy does not let a site learn from; without a largest norm it may be anything.

    Raises:
        ProtocolError: naming the message, its place and what was found.
    """
    if largest is None:
        return
    norm = float(np.sqrt(sum(float(np.square(each, dtype=np.float64).sum()) for each in _floats(message))))
    what = f"the coordinator sent {type(message).__name__} at {getattr(message, 'position', None)}"
    if not np.isfinite(norm):
        raise ProtocolError(f"{what} with numbers that are not finite; this site's policy refuses them")
    if isinstance(message, GRADIENTS) and norm > largest:
        raise ProtocolError(
            f"{what}, of length {norm:.6g}; this site's policy takes gradients up to {largest:.6g} "
            "(largest_gradient)"
        )


def _floats(message: Message) -> list[Array]:
    values: list[Any] = [getattr(message, name) for name in message.__struct_fields__]
    flat = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    return [each for each in flat if isinstance(each, np.ndarray) and each.dtype.kind == "f"]
