"""Messages to frames and back: nothing changes, and nothing malformed gets past the header."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.messages_drawn import (
    ANY,
    KINDS,
    LIMIT,
    alike,
    arrays_of,
    envelope,
    framed,
    header_of,
    of,
    put_together,
)  # fmt: skip

from coordinator.errors import ProtocolError
from coordinator.protocol.assembly import Arriving
from coordinator.protocol.codec import ALIGNMENT, CHUNK_BYTES, DTYPES, HEADER_BYTES, aligned, encode
from coordinator.protocol.messages import Activations, Agreed, CutGradient, Hello, Weights

ROOT = Path(__file__).resolve().parent.parent.parent
PLACE = (0, 1, 2, 3)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_message_arrives_as_it_was_sent(kind, data):
    message = data.draw(of(kind))
    found = put_together(framed(message, 7))
    assert found.sequence == 7
    assert alike(found.message, message)


@pytest.mark.parametrize("count", [CHUNK_BYTES // 4, CHUNK_BYTES // 4 + 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 17])
def test_large_arrays_travel_in_chunks_of_at_most_256_kib(count):
    message = Activations(PLACE, np.arange(count, dtype=np.float32), np.ones(5, np.float32))
    frames = framed(message)
    assert all(len(pair) == 2 and len(pair[1]) <= CHUNK_BYTES for pair in frames)
    assert sum(len(pair[1]) for pair in frames) == 4 * count + 20
    assert alike(put_together(frames).message, message)
    assert put_together(frames[:-1]) is None


def test_large_arrays_are_not_copied_when_sent():
    array = np.zeros(CHUNK_BYTES, np.float32)
    ((_, first), *_) = encode(envelope(CutGradient(PLACE, array)))
    assert np.shares_memory(np.frombuffer(first, np.uint8), array)


@pytest.mark.parametrize(
    "arrays", [(), (np.empty((0, 3), np.float32),), (np.empty(0), np.ones(2), np.empty((4, 0)))]
)
def test_empty_arrays_travel(arrays):
    message = Weights(PLACE, arrays, 0)
    assert alike(put_together(framed(message)).message, message)


def test_arrays_out_of_order_in_memory_travel():
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    for array in (whole.T, whole[:, ::2], whole[::-1]):
        message = CutGradient(PLACE, array)
        assert alike(put_together(framed(message)).message, message)


@settings(max_examples=50, deadline=None)
@given(message=ANY)
def test_what_arrives_lies_on_64_byte_boundaries_and_may_be_written(message):
    for array in arrays_of(put_together(framed(message)).message):
        assert array.ctypes.data % ALIGNMENT == 0 or not array.size
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_allocated_arrays_are_aligned_for_torch(dtype):
    for extent in range(1, 40):
        assert torch.from_numpy(aligned((extent, 3), dtype)).data_ptr() % ALIGNMENT == 0


# what is refused


def described(*shape, dtype="float32"):
    """Make the header of a CutGradient whose array is described so, as a peer might."""
    return header_of([0, 0, 1, 0, ["CutGradient", PLACE, [dtype, list(shape)]]])


def test_the_described_header_is_the_real_one():
    assert framed(CutGradient(PLACE, np.zeros((2, 3), np.float32)))[0][0] == described(2, 3)


def test_arrays_over_the_limit_are_refused_before_memory_is_taken(monkeypatch):
    taken = []
    real = np.empty
    monkeypatch.setattr(np, "empty", lambda *a, **k: taken.append(a) or real(*a, **k))
    with pytest.raises(ProtocolError, match="over the limit"):
        Arriving(described(2**30), 4096)
    with pytest.raises(ProtocolError, match="over the limit"):
        Arriving(described(2**39, 2**39, 2**39), LIMIT)
    assert not taken
    Arriving(described(8), 4096)
    assert taken


def test_the_limit_is_of_all_arrays_together():
    message = Weights(PLACE, tuple(np.zeros(100, np.float32) for _ in range(4)), 1)
    ((header, _),) = framed(message)
    Arriving(header, 1600)
    with pytest.raises(ProtocolError, match="over the limit"):
        Arriving(header, 1599)


def test_a_header_over_its_limit_is_neither_sent_nor_read():
    text = "x" * (HEADER_BYTES + 1)
    with pytest.raises(ProtocolError, match="header of"):
        list(encode(envelope(Agreed(text))))
    with pytest.raises(ProtocolError, match="header of"):
        Arriving(header_of([0, 0, 1, 0, ["Agreed", text]]), LIMIT)


@pytest.mark.parametrize(
    "header",
    [
        described(-1),
        described(2.0),
        described(True),
        described("3"),
        described(2**40),
        described(0, 2**39, 2**39, 2**39),  # no bytes, but no array numpy can make
        described(*[1] * 9),
        described(2, dtype="object"),
        described(2, dtype="float16"),
        described(2, dtype=[]),
        described(2, dtype=None),
        header_of([0, 0, 1, 0, ["CutGradient", PLACE, None]]),
        header_of([0, 0, 1, 0, ["CutGradient", PLACE, "raw"]]),
        header_of([0, 0, 1, 0, ["CutGradient", PLACE, ["float32"]]]),
        header_of([0, 0, 1, 0, ["CutGradient", PLACE[:3], ["float32", [1]]]]),
        header_of([0, 0, 1, 0, ["CutGradient", PLACE]]),
        header_of([0, 0, 1, 0, ["CutGradient", PLACE, ["float32", [1]], "more"]]),
        header_of([0, 0, 1, 0, ["Nonsense"]]),
        header_of([0, 0, 1, 0, []]),
        header_of([0, 0, 1, 0]),
        header_of([0, 0, 1, 0, ["Bye"], "more"]),
        header_of(["0", 0, 1, 0, ["Bye"]]),
        header_of([0, 0, 1.5, 0, ["Bye"]]),
        header_of({"message": "Bye"}),
        header_of(None),
        header_of([0, 0, 1, 0, ["Bye"]]) + b"\x00",
        b"",
        b"\xc1",
        b"\x95" * 100_000,  # nested deeper than any reader goes
        b"\xdd\xff\xff\xff\xff",  # a list said to hold four thousand million values
        b"\xdb\xff\xff\xff\xffx",  # a text said to be as long
        header_of([0, 0, 1, 0, ["Agreed", "xyz"]]).replace(b"xyz", b"\xff\xfe\xfd"),  # no UTF-8
    ],
)  # fmt: skip
def test_a_malformed_header_is_a_protocol_error(header):
    with pytest.raises(ProtocolError):
        Arriving(header, LIMIT)


def test_a_tuple_field_takes_no_more_arrays_than_fit_the_header():
    with pytest.raises(ProtocolError):
        Arriving(header_of([0, 0, 1, 0, ["Weights", PLACE, [["float32", [0]]] * 200_000, 1]]), LIMIT)


@pytest.mark.parametrize("chunk", [None, b"", b"short", bytes(21)])
def test_a_chunk_of_another_size_is_a_protocol_error(chunk):
    with pytest.raises(ProtocolError):
        Arriving(described(5), LIMIT).take(chunk)


def test_a_chunk_where_none_was_announced_is_a_protocol_error():
    with pytest.raises(ProtocolError, match="none was announced"):
        Arriving(framed(Hello("a", "b", 0))[0][0], LIMIT).take(b"x")


def test_a_chunk_too_many_is_a_protocol_error():
    arriving = Arriving(described(1), LIMIT)
    assert arriving.take(b"1234")
    with pytest.raises(ProtocolError):
        arriving.take(b"1234")


@pytest.mark.parametrize(
    "header",
    [
        header_of(["Chunk", 1, 2]),
        header_of(["Chunk", 2, 1]),
        header_of(["Chunk", 1, "1"]),
        header_of(["Chunk", 1]),
        header_of(["Bye"]),
        header_of(["Chunk", 1, 1, 1]),
        described(1),
        b"",
        b"\xff",
        b"\x93\xa5\xff\xff\xff\xff\xff\x01\x01",
        b"\x95" * 100_000,
    ],
)
def test_another_header_between_a_message_s_chunks_is_a_protocol_error(header):
    first, second, *_ = framed(CutGradient(PLACE, np.zeros(CHUNK_BYTES, np.float32)))
    arriving = Arriving(first[0], LIMIT)
    assert not arriving.take(first[1])
    with pytest.raises(ProtocolError):
        arriving.check_next(header)
    arriving.check_next(second[0])


@pytest.mark.parametrize("value", [object(), 1 + 2j, torch.zeros(1), print])
def test_only_arrays_and_plain_values_can_be_sent(value):
    with pytest.raises((ProtocolError, TypeError)):
        list(encode(envelope(CutGradient(PLACE, value))))


@settings(max_examples=300, deadline=None)
@given(header=st.binary(max_size=200), chunk=st.none() | st.binary(max_size=50))
def test_random_bytes_give_a_protocol_error_and_nothing_else(header, chunk):
    with pytest.raises(ProtocolError):
        put_together([[header] if chunk is None else [header, chunk]])


@settings(max_examples=500, deadline=None)
@given(message=ANY, data=st.data())
def test_a_mutated_message_is_decoded_or_a_protocol_error(message, data):
    frames = framed(message)
    number = data.draw(st.integers(0, len(frames) - 1))
    part = data.draw(st.integers(0, len(frames[number]) - 1))
    frames[number][part] = mutated(frames[number][part], data)
    try:
        found = put_together(frames, limit=1 << 20)
    except ProtocolError:
        return
    assert found is None or isinstance(found.message, KINDS)


def mutated(content, data):
    """Overwrite, cut out or put in some bytes."""
    start = data.draw(st.integers(0, len(content)))
    end = start + data.draw(st.integers(0, 4))
    return content[:start] + data.draw(st.binary(max_size=4)) + content[end:]


# what the sources say


def sources():
    return [path for layer in ("coordinator", "sites") for path in (ROOT / layer).rglob("*.py")]


def test_messages_are_defined_in_one_file():
    wrong, seen = [], set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any("Message" in ast.unparse(base) for base in node.bases):
                seen.add(node.name)
                wrong += [] if path.name == "messages.py" else [f"{path}: {node.name}"]
    assert not wrong
    assert seen == {kind.__name__ for kind in KINDS}


def test_every_message_is_a_frozen_record_that_forbids_unknown_fields():
    for kind in KINDS:
        config = kind.__struct_config__
        assert (config.frozen, config.forbid_unknown_fields, config.tag) == (True, True, kind.__name__)


def test_no_source_unpickles():
    words = {
        "pickle",
        "cloudpickle",
        "dill",
        "marshal",
        "shelve",
        "joblib",
        "eval",
        "exec",
        "allow_pickle=True",
    }
    wrong = [
        f"{path}:{node.lineno} {name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in named(node)
        if name in words
    ]
    assert not wrong


def named(node):
    """Name what a piece of source imports, calls or switches on."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.name.split(".")[0] for alias in node.names)
        yield (getattr(node, "module", None) or "").split(".")[0]
    elif isinstance(node, ast.Call):
        yield getattr(node.func, "id", "")
        yield from (f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords)
