"""What all wire types share: their base class and the bounded scalar types. Knows no service."""

import base64
import binascii
import math
import re
import struct
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints

MAX_DIMENSION = 4096
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Wire(BaseModel):
    """Base of every request: immutable, and unknown fields are refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reply(BaseModel):
    """Base of every response: unknown fields are ignored, so that an older caller understands a newer service."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _one_line(value: str) -> str:
    if not (text := " ".join(value.split())):
        raise ValueError("is blank; send some words or leave it out")
    return text


def _storable(value: str) -> str:
    if _UNSTORABLE.search(value):
        raise ValueError("contains a NUL or a lone surrogate, which UTF-8 stores can not hold; remove it")
    return value


def _addressable(value: str) -> str:
    if value in (".", ".."):
        raise ValueError("can not be part of a URL, where it means a folder; choose another id")
    return value


def _decode_embedding(value: Any) -> Any:
    """Reads an embedding from base64 of little-endian float32 (compact) or leaves a list of numbers as it is."""
    if not isinstance(value, str):
        return value
    try:
        raw = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not base64 ({error}); send a list of numbers or base64 of little-endian float32") from error
    if len(raw) % 4:
        raise ValueError(f"has {len(raw)} bytes, not a multiple of 4; send base64 of little-endian float32")
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def _finite(values: tuple[float, ...]) -> tuple[float, ...]:
    if not 1 <= len(values) <= MAX_DIMENSION:
        raise ValueError(f"has {len(values)} numbers; an embedding has 1 to {MAX_DIMENSION}")
    if not all(map(math.isfinite, values)):
        raise ValueError("contains NaN or infinity; send finite numbers")
    return values


def _encode_embedding(values: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode("ascii")


Text = Annotated[str, StringConstraints(max_length=500), AfterValidator(_storable), AfterValidator(_one_line)]
"""One line of words: an interest, a topic, a title. White space is folded; 1 to 500 characters."""

LongText = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_storable)]
"""A description; up to 20,000 characters."""

Id = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s/?#]+$"), AfterValidator(_storable), AfterValidator(_addressable)
]
"""A stable identifier of an item or a user: 1 to 128 characters without white space, '/', '?' or '#'; neither '.' nor '..'."""

Embedding = Annotated[
    tuple[float, ...],
    BeforeValidator(_decode_embedding),
    AfterValidator(_finite),
    PlainSerializer(_encode_embedding, return_type=str, when_used="json"),
]
"""Finite float32 numbers `(dim,)`. In JSON: a list of numbers, or base64 of little-endian float32."""
