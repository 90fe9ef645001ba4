"""The different words of one attribute and who has them, without an object per word. Knows nothing of numbers and truth values."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.attributes.postings import Parts, Postings
from retriever.bitmaps import Numbers


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def hash_of(word: bytes) -> int:
    """The hash of a word in UTF-8 that its saved table is ordered by; the same in every process."""
    return int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Words:
    """Word c, in the order of hashes, is `text[ends[c - 1] : ends[c]]` in UTF-8; `hashes` `(words,)` finds it."""

    hashes: NDArray[np.uint64]
    ends: NDArray[np.int64]
    text: NDArray[np.uint8]
    postings: Postings

    @classmethod
    def of(cls, words: Sequence[str], codes: NDArray[np.uint32], rows: Numbers) -> Self:
        """From the different words, and pairs of a place in `words` and an item number."""
        written = [_bytes(word) for word in words]
        hashes = np.fromiter(map(hash_of, written), np.uint64, len(written))
        order = np.argsort(hashes, kind="stable")
        place = np.empty(len(order), np.uint32)
        place[order] = np.arange(len(order), dtype=np.uint32)
        written = [written[at] for at in order.tolist()]
        ends = np.cumsum(np.fromiter(map(len, written), np.int64, len(written)))
        postings = Postings.of(place[codes], rows, len(words), complete=False)
        return cls(hashes[order], ends, np.frombuffer(b"".join(written), np.uint8), postings)

    def any_of(self, words: Iterable[str]) -> BitMap:
        """The items that have one of `words`; must not be changed."""
        written = [_bytes(word) for word in dict.fromkeys(words)]
        wanted = np.fromiter(map(hash_of, written), np.uint64, len(written))
        places = self.hashes.searchsorted(wanted)
        hits = np.flatnonzero(self.hashes[np.minimum(places, len(self.hashes) - 1)] == wanted)
        codes = [self._code(written[hit], code) for hit, code in zip(hits.tolist(), places[hits].tolist(), strict=True)]
        return self.postings.union(np.array([code for code in codes if code is not None], np.int64))

    def _code(self, word: bytes, first: int) -> int | None:
        """Which of the words from `first` on, as far as their hash is the same, is `word`."""
        code = first
        while not self._is(word, code):
            code += 1
            if code == len(self.hashes) or self.hashes[code] != self.hashes[first]:
                return None
        return code

    def _is(self, word: bytes, code: int) -> bool:
        start, end = self.ends.item(code - 1) if code else 0, self.ends.item(code)
        return self._text[start:end] == word

    @cached_property
    def _text(self) -> memoryview:
        return self.text.data

    def parts(self) -> dict[str, NDArray[np.generic]]:
        """What to save."""
        return {"hashes": self.hashes, "ends": self.ends, "text": self.text, **self.postings.parts()}

    @classmethod
    def open(cls, parts: Parts) -> Self:
        """From what was saved."""
        return cls(parts["hashes"], parts["ends"], parts["text"], Postings.open(parts))  # type: ignore[arg-type]
