"""Draws any message of the protocol from its record's field types."""

from typing import get_args, get_type_hints

import msgspec
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coordinator.protocol import messages
from coordinator.protocol.assembly import Arriving
from coordinator.protocol.codec import DTYPES, Envelope, encode
from coordinator.protocol.messages import AnyMessage, Array, Away, Position

KINDS = get_args(AnyMessage)
LIMIT = 8 * 1024 * 1024
INTEGERS = st.integers(-(2**31), 2**31)
TEXTS = st.text(max_size=20)
FLOATS = st.floats(allow_nan=False)
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: arrays.arrays(name, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
FIELDS = {
    str: TEXTS,
    int: INTEGERS,
    float: FLOATS,
    bool: st.booleans(),
    Array: ARRAYS,
    Array | None: st.none() | ARRAYS,
    Position: st.tuples(*[INTEGERS] * 4),
    tuple[int, int]: st.tuples(INTEGERS, INTEGERS),
    Away: st.lists(st.tuples(INTEGERS, INTEGERS, st.lists(INTEGERS, max_size=3).map(tuple)), max_size=3).map(
        tuple
    ),
    tuple[Array, ...]: st.lists(ARRAYS, max_size=4).map(tuple),
    tuple[int, ...]: st.lists(INTEGERS, max_size=5).map(tuple),
    tuple[str, ...]: st.lists(TEXTS, max_size=5).map(tuple),
    dict[int, str]: st.dictionaries(INTEGERS, TEXTS, max_size=4),
    dict[str, str]: st.dictionaries(TEXTS, TEXTS, max_size=4),
    dict[str, int]: st.dictionaries(TEXTS, INTEGERS, max_size=4),
    dict[str, float]: st.dictionaries(TEXTS, FLOATS, max_size=4),
    dict[str, tuple[int, ...]]: st.dictionaries(TEXTS, st.lists(INTEGERS, max_size=4).map(tuple), max_size=3),
    dict[str, tuple[str, ...]]: st.dictionaries(TEXTS, st.lists(TEXTS, max_size=3).map(tuple), max_size=3),
}


def of(kind):
    """Draw messages of one kind."""
    hints = get_type_hints(kind, vars(messages))
    return st.builds(kind, *(FIELDS[hints[name]] for name in kind.__struct_fields__))


ANY = st.sampled_from(KINDS).flatmap(of)


def envelope(message, sequence=1):
    return Envelope(0, 0, sequence, 0, message)


def framed(message, sequence=1):
    """Encode a message into frames of plain bytes, as a socket would deliver them."""
    return [[bytes(part) for part in frames] for frames in encode(envelope(message, sequence))]


def put_together(frames, limit=LIMIT):
    """Decode a message from all its frames; None where some are missing."""
    arriving, whole = None, False
    for header, *chunk in frames:
        if arriving is None:
            arriving = Arriving(header, limit)
        else:
            arriving.check_next(header)
        whole = arriving.take(chunk[0] if chunk else None)
    return arriving.envelope if whole else None


def arrays_of(message):
    """List a message's arrays in the order of its fields."""
    values = [getattr(message, name) for name in message.__struct_fields__]
    flat = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    return [value for value in flat if isinstance(value, np.ndarray)]


def alike(left, right):
    """Say whether two messages are equal, arrays by dtype, shape and every bit."""
    return type(left) is type(right) and all(
        same(getattr(left, name), getattr(right, name)) for name in left.__struct_fields__
    )


def same(left, right):
    if isinstance(left, np.ndarray):
        return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def header_of(values):
    """Pack any values as a header."""
    return msgspec.msgpack.encode(values)
