"""Leaves out topics that mean the same as an earlier one, by their embeddings. Knows nothing of how topics are spelt or made.

What differs only in case or number is gone by then (`words`); this is about "ghost stories" and "haunted houses".
"""

from collections.abc import Sequence

from expander.clients import EncoderClient
from expander.metrics import ExpanderMetrics
from servicekit.client import Late, ServiceError, Unreachable
from servicekit.deadline import Deadline

SAME = 0.8
FEWEST = 3
"""Topics that always stay."""
PATIENCE_MS = 200


def distinct(topics: Sequence[str], embeddings: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """The first of each group of topics whose embeddings `(n, dim)`, of unit length, have a cosine of `SAME` or more; never below `FEWEST`.

    Where too few would stay, those come back that are least like what is kept. NaN counts as not alike. The order is as it was.
    """
    likeness: list[float] = []
    kept: list[int] = []
    for place, embedding in enumerate(embeddings):
        nearest = max((_cosine(embedding, embeddings[other]) for other in kept), default=-1.0)
        likeness.append(nearest)
        if not nearest >= SAME:
            kept.append(place)
    left_out = sorted(set(range(len(topics))) - set(kept), key=lambda place: (likeness[place], place))
    kept += left_out[: max(0, FEWEST - len(kept))]
    return tuple(topics[place] for place in sorted(kept))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


class Distinct:
    """Removes near-synonyms where there is an encoder. One that fails costs nothing but the synonyms, and `PATIENCE_MS` at most."""

    def __init__(self, encoder: EncoderClient | None, metrics: ExpanderMetrics) -> None:
        self._encoder, self._metrics = encoder, metrics

    async def of(self, topics: Sequence[str], deadline: Deadline) -> tuple[str, ...]:
        """The topics that differ in meaning, in order; as they came when the encoder does not answer in time."""
        if self._encoder is None or len(topics) <= FEWEST:
            return tuple(topics)
        soon = Deadline.after_ms(PATIENCE_MS)
        try:
            embeddings = await self._encoder.embed(topics, min(soon, deadline, key=lambda one: one.at))
        except ServiceError as error:
            self._metrics.comparisons.labels(_outcome(error)).inc()
            return tuple(topics)
        kept = distinct(topics, embeddings)
        self._metrics.comparisons.labels("compared").inc()
        self._metrics.near_synonyms.inc(len(topics) - len(kept))
        return kept


def _outcome(error: ServiceError) -> str:
    return "late" if isinstance(error, Late) else "unreachable" if isinstance(error, Unreachable) else "refused"
