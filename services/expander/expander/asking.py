"""Asks the LLM: when it may be asked, once more where the answer is unusable, and counts what came of it. Knows no prompt and no HTTP.

One question, in order: the breaker, the budget of tokens, a place in the queue, the call, the reading; where that found nothing, one more
call by the retry budget. Whatever fails on the way is a kind of `LlmFailed`, and the caller answers without the LLM.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from expander.admission import Places
from expander.backends.chat import Chat
from expander.breaker import Breaker, Passage
from expander.budgets import Reservation, RetryBudget, TokenBudget
from expander.costs import Costs
from expander.errors import LlmFailed, LlmInvalid, LlmLate, LlmOverBudget, LlmRefused, LlmShut, LlmUnreachable
from expander.metrics import ExpanderMetrics
from expander.pace import Pace
from expander.readings import Answered, Completion, Prompt, Reader, Reading
from expander.runtimes.profile import Profile
from expander.settings import LlmLimits, Price
from expander.structured import Structure, Structured
from servicekit import logs
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
Value = TypeVar("Value")
FORMAT_REFUSED = (400, 422)
TOO_MUCH = (429, 503)
AGAIN_TEMPERATURE = 0.7
"""Of a second call, at least: at 0 the same prompt gets the same unusable answer."""


@dataclass
class Question(Generic[Value]):
    """What is asked, by when, who pays, and what it has taken so far."""

    prompt: Prompt
    read: Reader[Value]
    deadline: Deadline
    bulk: bool
    caller: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Llm:
    """The LLM behind `chat`, run as `profile` says, within `limits`. Needs a running event loop: the canary is asked from here on.

    `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        chat: Chat,
        profile: Profile,
        limits: LlmLimits,
        prices: Mapping[str, Price],
        metrics: ExpanderMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.concurrency = chat.model, limits.concurrency or profile.concurrency
        self._chat, self._metrics = chat, metrics.llm
        self._calls_per_question, self._hedge_after_s = profile.calls_per_question, limits.hedge_after_ms / 1_000
        self._structure = Structure(chat, profile, metrics.llm)
        self._breaker = Breaker(metrics.llm, self._structure.find_out, clock=clock)
        self._budget = TokenBudget(limits.tokens_per_minute, limits.tokens_per_minute_per_key, clock)
        self._retries = RetryBudget(limits.retry_share)
        self._places = Places(self.concurrency, limits.queue, metrics.llm)
        self._pace = Pace(clock)
        self._costs = Costs(prices, chat.model, metrics.llm)
        self._structure.find_out()

    @property
    def structured(self) -> Structured:
        """What the server does with a JSON schema, as far as is known."""
        return self._structure.known

    async def ask(
        self, prompt: Prompt, read: Reader[Value], deadline: Deadline, *, bulk: bool = False, caller: str = ""
    ) -> Answered[Value]:
        """An answer that `read` accepts. Raises `LlmShut`, `LlmOverBudget`, `LlmBusy` at once; else `LlmLate`, `LlmUnreachable`,
        `LlmRefused`, or `LlmInvalid` with the cause. A cancelled question gives everything back and closes its connection.
        """
        question = Question(prompt, read, deadline, bulk, caller)
        try:
            reading = await self._in_turn(question)
        except (LlmFailed, asyncio.CancelledError) as error:
            if not question.calls:
                self._metrics.unsent.labels(error.outcome if isinstance(error, LlmFailed) else "abandoned").inc()
            raise
        if reading.value is None:
            raise LlmInvalid(f"the LLM gave nothing acceptable: {reading.detail or reading.cause}", reading.cause)
        self._costs.answered()
        return Answered(reading.value, question.prompt_tokens, question.completion_tokens, question.calls)

    def shut(self) -> LlmShut | None:
        """Why nothing would be sent just now; None while the LLM is believed to work."""
        try:
            self._breaker.check()
        except LlmShut as shut:
            return shut
        return None

    async def check(self, deadline: Deadline) -> None:
        """Raises `LlmFailed` when the server does not list its models in time."""
        await self._chat.models(deadline)

    def saved(self, tokens: int, completion_tokens: int = 0) -> None:
        """Counts an answer that was kept: the tokens, and the part of them that the LLM wrote, were not spent again."""
        self._costs.saved(tokens, completion_tokens)

    async def close(self) -> None:
        """Stops what goes on behind."""
        await self._structure.close()

    async def _in_turn(self, question: Question[Value]) -> Reading[Value]:
        self._breaker.check()
        reserved = self._reserved(question)
        try:
            async with self._places.turn(question.deadline, bulk=question.bulk) as waited_s:
                if waited_s:
                    self._pace.check(question.prompt.version, question.deadline)
                self._retries.first_call()
                first = await (self._hedged(question, reserved) if self._hedge_after_s else self._call(question, question.prompt, reserved))
                return first if first.value is not None else await self._again(question, first)
        finally:
            reserved.settle(0)

    async def _again(self, question: Question[Value], first: Reading[Value]) -> Reading[Value]:
        """The reading of a second call, or `first` where none may be made."""
        if question.calls >= self._calls_per_question or question.deadline.expired:
            return first
        if not self._retries.take():
            self._metrics.retries.labels("again", "no_budget").inc()
            return first
        outcome = "failed"
        try:
            prompt = replace(question.prompt, temperature=max(question.prompt.temperature, AGAIN_TEMPERATURE))
            second = await self._call(question, prompt, self._reserved(question))
            outcome = "failed" if second.value is None else "accepted"
            return second
        except (LlmOverBudget, LlmShut):
            return first
        finally:
            self._metrics.retries.labels("again", outcome).inc()

    async def _hedged(self, question: Question[Value], reserved: Reservation) -> Reading[Value]:
        """The first acceptable reading of one call and, where that takes long, of a second one like it; the other is cancelled."""
        async with _running(self._call(question, question.prompt, reserved)) as first:
            await asyncio.wait({first}, timeout=self._hedge_after_s)
            if first.done():
                return await first
            with self._places.free(bulk=question.bulk) as free:
                if not free or not self._retries.take():
                    self._metrics.retries.labels("hedge", "no_budget").inc()
                    return await first
                async with _running(self._hedge(question)) as second:
                    won = await _first_acceptable(first, second)
                    accepted = second.done() and not second.exception() and second.result() is won and won.value is not None
                    self._metrics.retries.labels("hedge", "accepted" if accepted else "failed").inc()
                    return won

    async def _hedge(self, question: Question[Value]) -> Reading[Value]:
        return await self._call(question, question.prompt, self._reserved(question))

    async def _call(self, question: Question[Value], prompt: Prompt, reserved: Reservation) -> Reading[Value]:
        """One call and what was found in its answer; `reserved` is settled by what it took."""
        used = 0
        try:
            passage = self._breaker.enter()
            try:
                used = reserved.tokens  # of an answer that is not waited for, or not counted by the server, nobody knows better
                completion = await self._passed(question, prompt, passage)
            except (LlmRefused, LlmUnreachable):
                used = 0
                raise
            finally:
                passage.left()
            used = (completion.prompt_tokens + completion.completion_tokens) or used
            return self._read(question, completion)
        except LlmInvalid as error:
            return self._counted(Reading(None, error.cause, str(error)))
        finally:
            reserved.settle(used)

    async def _passed(self, question: Question[Value], prompt: Prompt, passage: Passage) -> Completion:
        """The completion; the breaker is told how the server did."""
        started = time.perf_counter()
        try:
            completion = await self._complete(question, prompt)
        except (LlmLate, LlmUnreachable):
            passage.failed()
            raise
        except LlmRefused as error:
            if error.status in TOO_MUCH and error.retry_after_s:
                self._breaker.rest(error.retry_after_s)
            passage.failed() if error.status >= 500 else passage.succeeded()
            raise
        except LlmInvalid:
            passage.succeeded()
            raise
        passage.succeeded()
        self._pace.took(prompt.version, time.perf_counter() - started)
        return completion

    async def _complete(self, question: Question[Value], prompt: Prompt) -> Completion:
        """The completion. A server that refuses the response format, and only that, is asked without it from then on."""
        formatted = self._structure.sent
        question.calls += 1
        try:
            return await self._chat.complete(prompt, question.deadline, formatted=formatted)
        except LlmRefused as error:
            if not formatted or error.status not in FORMAT_REFUSED or not self._may_refuse():
                raise
        completion = await self._chat.complete(prompt, question.deadline, formatted=False)
        self._structure.refused()
        return completion

    def _may_refuse(self) -> bool:
        """Whether a refusal is worth a call without the format: always while nothing is known of it, else by the retry budget."""
        return self._structure.known.found == "unknown" or self._retries.take()

    def _read(self, question: Question[Value], completion: Completion) -> Reading[Value]:
        question.prompt_tokens += completion.prompt_tokens
        question.completion_tokens += completion.completion_tokens
        self._costs.spent(completion)
        return self._counted(question.read(completion))

    def _counted(self, reading: Reading[Value]) -> Reading[Value]:
        self._metrics.readings.labels(reading.cause).inc()
        if reading.value is None:
            self._metrics.invalid_answers.inc()
            LOG.info("llm_answer_invalid", cause=reading.cause, detail=reading.detail)
        return reading

    def _reserved(self, question: Question[Value]) -> Reservation:
        return self._budget.reserve(question.caller, question.prompt.tokens + question.prompt.max_tokens)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, Value]) -> AsyncIterator["asyncio.Task[Value]"]:
    """A task that is over, cancelled if need be, when the context ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        task.cancelled() or task.exception()  # what it raised was seen by whoever awaited it, or is of no use any more


async def _first_acceptable(*tasks: "asyncio.Task[Reading[Value]]") -> Reading[Value]:
    """The first reading with a value; else any reading; else what the first task raised."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.exception() and task.result().value is not None:
                return task.result()
    return next((task for task in tasks if not task.exception()), tasks[0]).result()
