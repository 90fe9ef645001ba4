"""Has the LLM write tags and a description of items, in its lane for bulk. Knows nothing of HTTP, and keeps nothing."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from expander import describing, prompts
from expander.admission import BULK_LEAVES
from expander.asking import Llm
from expander.errors import LlmFailed, LlmInvalid, LlmNotConfigured, LlmRefused
from expander.items import Described
from expander.metrics import ExpanderMetrics
from servicekit.deadline import Deadline

OF_THE_ITEM = (400, 413, 422)
"""Statuses by which a server refuses what it was sent, such as a prompt too long for its model. Others pass: it starts, its key expired."""


@dataclass(frozen=True)
class Enrichment:
    """What became of one item; see the wire type of this name."""

    id: str
    tags: tuple[str, ...] = ()
    description: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    reason: str | None = None
    retry: bool = False


class Enricher:
    """Asks about as many items at a time as the lane for bulk has places, so that a batch never fills the queue that users wait in."""

    prompt_version = prompts.ENRICHMENT.version

    def __init__(self, llm: Llm | None, metrics: ExpanderMetrics) -> None:
        self._llm, self._metrics = llm, metrics

    async def enrich(self, items: Sequence[Described], deadline: Deadline, caller: str = "") -> list[Enrichment]:
        """One result per item, in order, by the deadline; raises `LlmNotConfigured`, and nothing else, whatever the LLM does."""
        if (llm := self._llm) is None:
            raise LlmNotConfigured("No item can be enriched: there is no LLM here. Set EXPANDER_LLM_URL.")
        results = [Enrichment(item.id, reason="no time was left; ask again", retry=True) for item in items]
        rest = iter(enumerate(items))
        at_once = min(llm.concurrency - int(llm.concurrency * BULK_LEAVES), len(items))
        await asyncio.gather(*(self._work(llm, rest, results, deadline, caller) for _ in range(at_once)))
        return results

    async def _work(
        self, llm: Llm, rest: Iterator[tuple[int, Described]], results: list[Enrichment], deadline: Deadline, caller: str
    ) -> None:
        for at, item in rest:
            if deadline.expired:
                return
            results[at] = await self._one(llm, item, deadline, caller)

    async def _one(self, llm: Llm, item: Described, deadline: Deadline, caller: str) -> Enrichment:
        prompt = prompts.enrichment(item)
        try:
            answered = await llm.ask(prompt, partial(describing.read, item=item), deadline, bulk=True, caller=caller)
        except LlmFailed as failed:
            self._metrics.enrichments.labels(failed.outcome).inc()
            return Enrichment(item.id, reason=str(failed), retry=_passes(failed))
        self._metrics.enrichments.labels("made").inc()
        return Enrichment(item.id, answered.value.tags, answered.value.description, llm.model, prompt.version)


def _passes(failed: LlmFailed) -> bool:
    """Whether the same item may do better later."""
    if isinstance(failed, LlmRefused):
        return failed.status not in OF_THE_ITEM
    return not isinstance(failed, LlmInvalid)
