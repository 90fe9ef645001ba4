"""Keeps the embeddings of recent passages, so that a repeated text costs no run of the model. Knows nothing of queues."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

ENTRY_BYTES = 512
"""Of memory that an embedding takes beside its numbers, rounded up."""


@dataclass(frozen=True, slots=True)
class Known:
    """A passage that was embedded before: its embedding float32 `(dim,)`, and its length in tokens."""

    embedding: NDArray[np.float32]
    tokens: int


class Recent:
    """The least recently used go first when more than `capacity` bytes would be held; with a capacity of 0 nothing is kept.

    Used by several threads at once. Embeddings are known by the fingerprint of their space and the digest of their text.
    """

    def __init__(self, capacity: int, fingerprint: str) -> None:
        self._capacity, self._space = capacity, hashlib.blake2b(fingerprint.encode(), digest_size=32).digest()
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._lock = Lock()
        self.held = 0
        """Bytes."""

    def key(self, text: str) -> bytes:
        """Under which the text's embedding is known; equal for equal texts in one space only (BLAKE2b, 128 bits)."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._space).digest()

    def get(self, key: bytes) -> Known | None:
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
            return known

    def put(self, key: bytes, embedding: NDArray[np.float32], tokens: int) -> None:
        """Keeps a copy of the embedding, in place of one that was kept under the key."""
        size = embedding.nbytes + ENTRY_BYTES
        if size > self._capacity:
            return
        known = Known(embedding.copy(), tokens)
        with self._lock:
            self.held += size if self._known.pop(key, None) is None else 0
            self._known[key] = known
            while self.held > self._capacity:
                self._known.popitem(last=False)
                self.held -= size
