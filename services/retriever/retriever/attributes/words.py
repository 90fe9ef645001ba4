"""The different words of one attribute and who has them, without an object per word. Knows nothing of numbers and truth values."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.attributes.postings import Parts, Postings
from retriever.bitmaps import Numbers


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def _hash(word: bytes) -> int:
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
        hashes = np.fromiter(map(_hash, written), np.uint64, len(written))
        order = np.argsort(hashes, kind="stable")
        place = np.empty(len(order), np.uint32)
        place[order] = np.arange(len(order), dtype=np.uint32)
        written = [written[at] for at in order.tolist()]
        ends = np.cumsum(np.fromiter(map(len, written), np.int64, len(written)))
        postings = Postings.of(place[codes], rows, len(words), complete=False)
        return cls(hashes[order], ends, np.frombuffer(b"".join(written), np.uint8), postings)

    def any_of(self, words: Iterable[str]) -> BitMap:
        """The items that have one of `words`; must not be changed."""
        codes = {code for word in words if (code := self._code(_bytes(word))) is not None}
        return self.postings.union(np.fromiter(codes, np.int64)) if codes else BitMap()

    def _code(self, word: bytes) -> int | None:
        wanted = np.uint64(_hash(word))
        code = int(self.hashes.searchsorted(wanted))
        while code < len(self.hashes) and self.hashes[code] == wanted:
            if self.text[self.ends[code - 1] if code else 0 : self.ends[code]].tobytes() == word:
                return code
            code += 1
        return None

    def parts(self) -> dict[str, NDArray[np.generic]]:
        """What to save."""
        return {"hashes": self.hashes, "ends": self.ends, "text": self.text, **self.postings.parts()}

    @classmethod
    def open(cls, parts: Parts) -> Self:
        """From what was saved."""
        return cls(parts["hashes"], parts["ends"], parts["text"], Postings.open(parts))  # type: ignore[arg-type]
