"""Strings words of a tokeniser's vocabulary together, so that every word occurs in training. Knows no grammar and no catalogue."""

import math
from collections.abc import Iterator, Sequence
from random import Random

LINKS = ("", "", "", "", "and", "of", "for", "in", "with", "the", "without", "about", "or", "to")
SHORTEST_WORD = 3
COUNTS = (2, 2, 3, 3, 4, 5, 6, 9)


def words(vocabulary: Sequence[str]) -> list[str]:
    """The whole words of a WordPiece vocabulary, in its order, which is from the commonest on."""
    return [token for token in vocabulary if len(token) >= SHORTEST_WORD and token.isascii() and token.isalpha()]


def strings(vocabulary: Sequence[str], seed: int) -> Iterator[str]:
    """Two to nine words without end; the same ones for the same seed."""
    known, random = words(vocabulary), Random(seed)
    reach = math.log(len(known) + 1)
    while True:
        chosen = [_word(known, reach, random) for _ in range(random.choice(COUNTS))]
        linked = [part for word in chosen for part in (random.choice(LINKS), word) if part]
        yield " ".join(linked)


def _word(known: Sequence[str], reach: float, random: Random) -> str:
    """Half of the words by Zipf's law, half evenly, so that the rare ones come too."""
    return known[int(math.exp(random.random() * reach)) - 1] if random.random() < 0.5 else random.choice(known)
