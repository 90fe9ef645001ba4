"""Embeds by signed feature hashing of words and their character n-grams. Knows nothing of language models.

Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (ICML 2009), equation 2: feature f adds
sign(f) * weight(f) at index(f). Both come from BLAKE2b, so an embedding is the same in every process and on every platform.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from encoder.backends.protocol import ObserveRun
from encoder.fingerprint import Identity

RECIPE = "words 1, word pairs 0.5, character 3- and 4-grams 0.7 per word; NFKC, case-folded; BLAKE2b; v1"
PAIR_WEIGHT, GRAMS_WEIGHT = 0.5, 0.7
GRAM_LENGTHS = (3, 4)
DEFAULT_MAX_WORDS = 256
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

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(texts), dimension)`."""
        embeddings = np.zeros((len(texts), self._dimension), np.float64)
        for row, text in zip(embeddings, texts, strict=True):
            self._fill(row, unicodedata.normalize("NFKC", self._prefix + text).casefold())
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings.astype(np.float32)

    def _fill(self, row: NDArray[np.float64], text: str) -> None:
        words = _WORD.findall(text)[: self._max_words]
        for feature, weight in _features(words):
            number, sign = _place(feature)
            row[number % self._dimension] += sign * weight
        if words:
            self._observe(len(words), len(words))
        if not row.any():  # no words, or signs that cancelled out: the text as a whole is its only feature
            number, sign = _place(f"t:{text}")
            row[number % self._dimension] = sign
