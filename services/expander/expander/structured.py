"""Whether the LLM obeys a JSON schema, found out by asking it, and so whether `response_format` is sent. Knows nothing of topics.

The question is that of `runtimes.canary`. It is asked behind the service's start, which never waits for it, until the server answers, and
again when the server comes back after a failure: it may be another one then.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from expander.backends.chat import Chat
from expander.errors import LlmFailed, LlmRefused
from expander.metrics import FINDINGS, LlmMetrics
from expander.readings import Prompt
from expander.runtimes import canary
from expander.runtimes.profile import Profile
from servicekit import logs
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
UNKNOWN = "unknown"
NOT_SENT = (canary.IGNORED, canary.REFUSED)
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Between two attempts; the last repeats."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Structured:
    """`found`: `honoured`, `ignored`, `refused`, or `unknown` until the server has answered; `profile` is what the runtime profile says;
    `sent` whether `response_format` is sent."""

    found: str
    profile: str
    sent: bool


class Structure:
    """What is known of the server behind `chat`, which runs as `profile` says."""

    def __init__(self, chat: Chat, profile: Profile, metrics: LlmMetrics, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._chat, self._profile, self._metrics, self._pauses_s = chat, profile, metrics, pauses_s
        self._found = UNKNOWN
        self._asking: asyncio.Task[None] | None = None
        self._learn(UNKNOWN)

    @property
    def known(self) -> Structured:
        return Structured(self._found, self._profile.structured_output, self.sent)

    @property
    def sent(self) -> bool:
        """Whether `response_format` is sent: where the profile sends it, unless it turned out to be ignored or refused."""
        return self._profile.sends_response_format and self._found not in NOT_SENT

    def find_out(self) -> None:
        """Starts asking, unless that goes on already. Needs a running event loop."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_until_answered(), name="canary")

    def refused(self) -> None:
        """The server refused a request with `response_format`, and took the same without."""
        LOG.warning("response_format_refused", model=self._chat.model)
        self._learn(canary.REFUSED)

    async def close(self) -> None:
        if self._asking:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking

    async def _ask_until_answered(self) -> None:
        failures = 0
        while (found := await self._ask()) is None:
            await asyncio.sleep(self._pauses_s[min(failures, len(self._pauses_s) - 1)])
            failures += 1
        promised = self._profile.structured_output
        LOG.info("structured_output_found", model=self._chat.model, found=found, profile=promised)
        if promised == "supported" and found != canary.HONOURED:
            LOG.warning("structured_output_missing", model=self._chat.model, found=found, profile=self._profile.name)
        self._learn(found)

    async def _ask(self) -> str | None:
        """What was found; None when the server did not answer."""
        word = canary.word()
        body = canary.request(self._chat.model, word)
        prompt = Prompt("canary", tuple(body["messages"]), body["response_format"], body["max_tokens"], body["temperature"], 0)
        try:
            completion = await self._chat.complete(prompt, _deadline(), formatted=True)
        except LlmRefused as error:
            return canary.REFUSED if error.status in canary.REFUSALS and await self._answers(prompt) else None
        except LlmFailed:
            return None
        return canary.HONOURED if canary.obeyed(completion.text, word) else canary.IGNORED

    async def _answers(self, prompt: Prompt) -> bool:
        """Whether the same is answered without the format: else it was something else that was refused."""
        try:
            await self._chat.complete(prompt, _deadline(), formatted=False)
        except LlmFailed:
            return False
        return True

    def _learn(self, found: str) -> None:
        self._found = found
        for each in FINDINGS:
            self._metrics.structured.labels(each).set(each == found)


def _deadline() -> Deadline:
    return Deadline.after_ms(TIMEOUT_S * 1_000)
