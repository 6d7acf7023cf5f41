"""Changes a message where it means something: a value of a header becomes another, and it is packed again."""

import random
from typing import Any

import msgspec

from tests.fuzz.wire import frames_in, joined

ODD: tuple[Any, ...] = (
    None, True, "", "x" * 300, "Weights", "float32", "object", b"\xff", [], {}, [[]], 0, 1, -1, 2, 255, 2**31,
    2**40, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -1.0, 1e308, float("inf"), float("nan"), ["float32", [2, 2]],
    ["float64", [0]], ["uint8", [2**39]], {"a": 1}, {1: "h"},
)  # fmt: skip


def mutate_header(content: bytes, longest: int, seed: int) -> bytes | None:
    """Change one place in one header; None where there is none that can be read."""
    draw, messages = random.Random(seed), frames_in(content)
    if not messages:
        return None
    frames = draw.choice(messages)
    try:
        header = msgspec.msgpack.decode(frames[0])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    places = list(_places(header))
    if not places:
        return None
    holder, key = draw.choice(places)
    _change(holder, key, draw)
    try:
        frames[0] = msgspec.msgpack.encode(header)[:65_535]
    except (OverflowError, RecursionError, TypeError):
        return None
    if draw.random() < 0.2:
        messages.append(draw.choice(messages))
    return joined(messages)[:longest]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """List every place in lists and mappings within a value."""
    keys = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()
    return [each for key in keys for each in ((value, key), *_places(value[key]))]


def _change(holder: Any, key: Any, draw: random.Random) -> None:
    what = draw.random()
    if isinstance(holder, list) and what < 0.1:
        del holder[key]
    elif isinstance(holder, list) and what < 0.2:
        holder.insert(key, draw.choice(ODD))
    elif isinstance(holder[key], int) and what < 0.5:
        holder[key] += draw.choice((-1, 1)) if abs(holder[key]) < 2**62 else 0
    else:
        holder[key] = draw.choice(ODD)
