"""What is kept of an item's attributes for filters in Milvus: hashed terms, and numbers. Knows nothing of expressions and calls.

A term is one fact about one attribute, hashed to 24 letters: that it is there, that it is a finite number, that it equals a value, that
its list has a word. One more says how seldom the item is drawn for a sample. So an item's terms are a set of short strings without quotes
in them, whatever the attributes hold, a value of one type never meets one of another, and an absent attribute is just the lack of a term,
which `not` turns round exactly.
"""

import math
from base64 import b64encode
from collections.abc import Mapping
from hashlib import blake2b

from retriever.filters import Scalar, float_of, is_number
from retriever.items import AttributeValue

HASH_BYTES = 18
"""144 bits: two of 10**12 different terms meet with a probability below 10**-19."""

LEVELS = 24
"""Of samples: the smallest has one item in 2**24."""


def exists(name: str) -> str:
    return _term("exists", name)


def finite(name: str) -> str:
    """That the attribute is a number which `numbers_of` holds."""
    return _term("finite", name)


def equals(name: str, value: Scalar) -> str:
    """That the attribute is this one value, of this type."""
    if is_number(value):
        return _term("number", name, repr(float_of(value) + 0.0))  # -0.0 + 0.0 is 0.0
    return _term("truth" if isinstance(value, bool) else "word", name, str(value))


def has_word(name: str, word: str) -> str:
    """That the attribute is a list with this word."""
    return _term("list", name, word)


def drawn(level: int) -> str:
    """That the item is in samples of one in 2**`level`, and in no smaller ones."""
    return _term("drawn", str(level))


def level_of(name: str) -> int:
    """The level at which the item with this id is drawn: one in 2**l has at least l."""
    return min(LEVELS, 32 - int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big").bit_length())


def terms_of(attributes: Mapping[str, AttributeValue]) -> list[str]:
    """All terms of an item, each once, sorted."""
    terms: set[str] = set()
    for name, value in attributes.items():
        terms.add(exists(name))
        if isinstance(value, tuple):
            terms.update(has_word(name, word) for word in value)
        else:
            terms.add(equals(name, value))
            if is_number(value) and math.isfinite(float_of(value)):
                terms.add(finite(name))
    return sorted(terms)


def numbers_of(attributes: Mapping[str, AttributeValue]) -> dict[str, float]:
    """The finite numbers by the attribute's name."""
    numbers = {name: float_of(value) for name, value in attributes.items() if is_number(value)}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _term(*parts: str) -> str:
    # the length before each part keeps ("a", "bc") and ("ab", "c") apart
    said = "".join(f"{len(part)}:{part}" for part in parts)
    return b64encode(blake2b(said.encode(), digest_size=HASH_BYTES).digest(), b"-_").decode()
