"""Embeds by signed feature hashing of words and their character n-grams. Knows nothing of language models.

Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (ICML 2009), equation 2: feature f adds
sign(f) * weight(f) at index(f). Both come from BLAKE2b, so an embedding is the same in every process and on every platform.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from encoder.backends.protocol import ObserveRun
from encoder.fingerprint import Identity
from encoder.ladder import Ladder

RECIPE = "words 1, word pairs 0.5, character 3- and 4-grams 0.7 per word; NFKC, case-folded; BLAKE2b; v1"
PAIR_WEIGHT, GRAMS_WEIGHT = 0.5, 0.7
GRAM_LENGTHS = (3, 4)
DEFAULT_MAX_WORDS = 256
DIMENSION = 384
"""Of the service's embeddings."""
BATCH_TEXTS, BATCH_WORDS = 32, 4096
"""Of a batch at most. Nothing is gained by a larger one, and a short request would wait for it."""
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=65_536)
def _place(feature: str) -> tuple[int, float]:
    """A 63-bit number to take the index from, and the sign."""
    number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return number >> 1, 1.0 if number & 1 else -1.0


def _features(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    for word in words:
        yield f"w:{word}", 1.0
        bounded = f"<{word}>"
        grams = [bounded[start : start + size] for size in GRAM_LENGTHS for start in range(len(bounded) - size + 1)]
        for gram in grams:
            yield f"g:{gram}", GRAMS_WEIGHT / len(grams) ** 0.5
    for first, second in pairwise(words):
        yield f"p:{first} {second}", PAIR_WEIGHT


@dataclass(frozen=True)
class Words:
    """A text as it is hashed; as long as it has words, but never of no length."""

    text: str
    words: tuple[str, ...]

    def __len__(self) -> int:
        return max(1, len(self.words))


class HashingBackend:
    """Deterministic embeddings without a model: texts that share words or word parts are near each other."""

    def __init__(self, dimension: int, max_words: int, prefix: str, observe: ObserveRun) -> None:
        self._dimension, self._max_words, self._prefix, self._observe = dimension, max_words or DEFAULT_MAX_WORDS, prefix, observe
        self.identity = Identity(
            model="hashing",
            weights=hashlib.sha256(RECIPE.encode()).hexdigest(),
            precision="fp32",
            pooling="sum",
            normalisation="l2",
            prefix=prefix,
            dimension=dimension,
            max_tokens=self._max_words,
            backend="hashing",
        )
        self.ladder = Ladder((self._max_words,), BATCH_TEXTS, BATCH_WORDS)

    def tokenise(self, text: str) -> Words:
        """The words of the text and its prefix, normalised and cut at the limit."""
        normalised = unicodedata.normalize("NFKC", self._prefix + text).casefold()
        return Words(normalised, tuple(_WORD.findall(normalised)[: self._max_words]))

    def run(self, passages: Sequence[Words]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(passages), dimension)`."""
        embeddings = np.zeros((len(passages), self._dimension), np.float64)
        for row, passage in zip(embeddings, passages, strict=True):
            self._fill(row, passage)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        tokens = sum(map(len, passages))
        self._observe(tokens, tokens)
        return embeddings.astype(np.float32)

    def close(self) -> None:
        """Nothing to free."""

    def _fill(self, row: NDArray[np.float64], passage: Words) -> None:
        for feature, weight in _features(passage.words):
            number, sign = _place(feature)
            row[number % self._dimension] += sign * weight
        if not row.any():  # no words, or signs that cancelled out: the text as a whole is its only feature
            number, sign = _place(f"t:{passage.text}")
            row[number % self._dimension] = sign
