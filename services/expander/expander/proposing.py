"""Makes the entry of one interest: asks the LLM, and leaves out topics that mean the same. Knows nothing of caches and callers."""

import time
from collections.abc import Callable

from expander import parsing, prompts
from expander.asking import Llm
from expander.entries import Entry
from expander.grounding import Grounder
from expander.interests import Asked
from expander.metrics import ExpanderMetrics
from expander.synonyms import Distinct
from servicekit.deadline import Deadline


class Proposer:
    """Topics of an LLM. A call takes at most `timeout_s`, whoever waits for it."""

    prompt_version = prompts.TOPICS.version

    def __init__(
        self,
        llm: Llm,
        distinct: Distinct,
        grounder: Grounder,
        metrics: ExpanderMetrics,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.llm, self.grounder = llm, grounder
        self._distinct, self._metrics, self._timeout_s, self._clock = distinct, metrics, timeout_s, clock

    @property
    def model(self) -> str:
        return self.llm.model

    async def make(self, asked: Asked, *, caller: str = "", bulk: bool = False) -> Entry:
        """Three to five topics; raises a kind of `LlmFailed`."""
        deadline = Deadline.after_ms(self._timeout_s * 1_000)
        answered = await self.llm.ask(
            prompts.topics(asked), lambda completion: parsing.topics(completion, asked), deadline, bulk=bulk, caller=caller
        )
        topics = await self._distinct.of(answered.value, deadline)
        if self.grounder.version is not None:  # without a vocabulary nothing is off it
            for grounded in self.grounder.of(topics):
                self._metrics.topics.labels(grounded.kind or "off_catalogue").inc()
        return Entry(
            topics, self._clock(), answered.tokens, personal=asked.user_id is not None, completion_tokens=answered.completion_tokens
        )
