"""Proves that the model embeds, and as it did when it was prepared. Knows nothing of HTTP."""

from collections import deque

from encoder.backends.protocol import Goldens
from encoder.batching import Batcher
from encoder.canary import CANARY
from encoder.errors import EmbeddingsChanged
from servicekit.deadline import Deadline

LIMIT_MS = 5_000
TOGETHER = 4
"""Goldens that are embedded at once. What was proved stays proved when a probe gives up in between."""


class Readiness:
    """Embeds a real passage at every check. With goldens the first check compares all of them, and each later one another one."""

    def __init__(self, batcher: Batcher, goldens: Goldens | None) -> None:
        self._batcher, self._goldens = batcher, goldens
        self._unproved = list(range(len(goldens.texts))) if goldens else []
        self._turns = deque(self._unproved)

    async def check(self) -> None:
        """Returns when usable embeddings came out; raises `EmbeddingsChanged` or whatever kept the model from embedding."""
        if self._goldens is None or not self._turns:
            await self._batcher.embed_anew((CANARY,), Deadline.after_ms(LIMIT_MS))
            return
        if not self._unproved:
            self._turns.rotate(-1)
            await self._compare(self._goldens, [self._turns[0]])
        while chosen := self._unproved[:TOGETHER]:
            await self._compare(self._goldens, chosen)
            self._unproved = [index for index in self._unproved if index not in chosen]

    async def _compare(self, goldens: Goldens, chosen: list[int]) -> None:
        texts = [goldens.texts[index] for index in chosen]
        embeddings = await self._batcher.embed_anew(texts, Deadline.after_ms(LIMIT_MS))
        cosines = (embeddings * goldens.embeddings[chosen]).sum(axis=1)
        worst = int(cosines.argmin())
        if not cosines[worst] >= 1 - goldens.tolerance:
            raise EmbeddingsChanged(
                f"The embedding of golden passage {chosen[worst]} has a cosine of {cosines[worst]:.5f} to what it was when the model was "
                f"prepared, less than {1 - goldens.tolerance:.5f}: the model's files or its runtime are not those; prepare the model again."
            )
