"""Messages are read as the wire format says, and what is no message is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.backends.protobuf import fields


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def written(number: int, value: int | bytes) -> bytes:
    return varint(number << 3) + varint(value) if isinstance(value, int) else varint(number << 3 | 2) + varint(len(value)) + value


VALUES = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), VALUES), max_size=8))
def test_what_was_written_is_read(message: list[tuple[int, int | bytes]]) -> None:
    assert list(fields(b"".join(written(*field) for field in message))) == message


def test_fixed_size_values_are_told_as_their_bytes() -> None:
    assert list(fields(b"\x15\x00\x00\x80\x3f" + b"\x09" + bytes(range(8)))) == [(2, b"\x00\x00\x80\x3f"), (1, bytes(range(8)))]


@given(st.lists(st.tuples(st.integers(1, 99), VALUES), min_size=1, max_size=4), st.data())
def test_a_truncated_message_is_refused_or_ends_with_a_whole_field(message: list[tuple[int, int | bytes]], data: st.DataObject) -> None:
    whole = b"".join(written(*field) for field in message)
    try:
        read = list(fields(whole[: data.draw(st.integers(0, len(whole) - 1))]))
    except ValueError:
        return
    assert read == message[: len(read)]
    assert len(read) < len(message)


@pytest.mark.parametrize("nonsense", [b"\x0b", b"\x80", b"\x0a\x05abc", b"\x08" + b"\xff" * 11, b"\x0d\x01"])
def test_what_is_no_message_is_refused(nonsense: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|number|message"):
        list(fields(nonsense))
