"""Reads the protocol buffers wire format. Knows no schema.

Specification: https://protobuf.dev/programming-guides/encoding/ (varints, length-prefixed and fixed-size fields; groups are refused).
"""

from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in order: number, and an integer or the bytes of a length-prefixed or fixed-size value.

    Raises `ValueError` where the bytes are no message.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        match key & 7:
            case 0:
                value, place = _varint(message, place)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, place = _varint(message, place)
            case 5:
                size = 4
            case kind:
                raise ValueError(f"a field of wire type {kind} at byte {place}")
        if place + size > len(message):
            raise ValueError(f"the field at byte {place} ends after the message")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """The number at `place`, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("the message ends within a number")
        byte = message[place]
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            return value, place
    raise ValueError(f"the number before byte {place} is too long")
