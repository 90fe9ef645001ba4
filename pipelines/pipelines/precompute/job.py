"""Has interests expanded until nothing is pending. Knows the expander's route, nothing of where the interests come from.

A run that is cut off needs no record of its own: what is done answers `kept` when it is asked for again.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from contracts.expander import CALLER_HEADER, PrecomputeResponse
from contracts.problems import Problem
from contracts.wire import Text

PATH, CALLER = "/v1/expansions:precompute", "precompute"
PASSING = {429, 500, 502, 504}
UNAVAILABLE = 503
"""May pass as well, unless the problem is that there is no LLM."""
NOT_CONFIGURED = "llm-not-configured"
TRIES = 3
"""Times that an interest may fail."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
ANSWER_S = 10.0
"""Beyond the deadline that a request names, for its answer to arrive."""
_TEXT: TypeAdapter[str] = TypeAdapter(Text)


class PrecomputeRefused(Exception):
    """The expander can not do this, or does nothing any more; the message says why and what to do. What is done is kept."""


@dataclass
class Outcome:
    """How many interests were there (`kept`) and were expanded now (`made`), and why others could not be."""

    kept: int = 0
    made: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Precompute:
    """A connection to the expander at `url`; a context manager.

    One request takes at most `deadline_s`. Without a single interest done for `patience_s` the run ends.
    """

    def __init__(
        self,
        url: str,
        *,
        locale: str | None = None,
        batch: int = 100,
        deadline_s: float = 60.0,
        patience_s: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url, self._locale, self._batch, self._sleep = url.rstrip("/"), locale, batch, sleep
        self._deadline_s, self._patience_s = deadline_s, patience_s
        self._http = httpx2.Client(timeout=deadline_s + ANSWER_S, trust_env=False, headers={CALLER_HEADER: CALLER})

    def run(self, interests: Sequence[str]) -> Outcome:
        """Returns when none is pending and none that failed has tries left; raises `PrecomputeRefused`."""
        waiting, unsendable = _sendable(interests)
        outcome, tries = Outcome(failed=unsendable), Counter[str]()
        paused, ends = 0, time.monotonic() + self._patience_s
        with tqdm(total=len(waiting), desc="expand", unit=" interests", mininterval=0.5, dynamic_ncols=True) as bar:
            while waiting:
                again, why = self._round(waiting, outcome, tries, bar)
                now = time.monotonic()
                if len(again) < len(waiting):
                    paused, ends = 0, now + self._patience_s
                elif now >= ends:
                    told = f"{len(again):,} interests are left, the first for this reason: {why}. Start again to go on."
                    raise PrecomputeRefused(f"{self._url} expanded nothing for {self._patience_s:g} s; {told}")
                waiting = again
                if waiting:
                    self._sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(paused, 10), max(0.0, ends - now)))
                    paused += 1
        return outcome

    def _round(self, waiting: Sequence[str], outcome: Outcome, tries: Counter[str], bar: "tqdm[Any]") -> tuple[list[str], str]:
        """Asks for each once; those to ask for again, in order, and why the first of them is not done.

        A batch that can not be asked for ends the round: the next would find the same.
        """
        again: list[str] = []
        why = ""
        for start in range(0, len(waiting), self._batch):
            part = waiting[start : start + self._batch]
            answered = self._ask(part)
            if isinstance(answered, str):
                return [*again, *waiting[start:]], why or answered
            for row in answered.results:
                if row.status == "pending" or (row.status == "failed" and tries[row.interest] < TRIES - 1):
                    tries[row.interest] += row.status == "failed"
                    again.append(row.interest)
                    why = why or row.reason or row.status
                    continue
                if row.status == "failed":
                    outcome.failed[row.interest] = row.reason or "no reason given"
                outcome.kept += row.status == "kept"
                outcome.made += row.status == "made"
                bar.update()
            bar.set_postfix(made=outcome.made, kept=outcome.kept, failed=len(outcome.failed), refresh=False)
        return again, why

    def _ask(self, interests: Sequence[str]) -> PrecomputeResponse | str:
        """The answer; or, as words, why there is none now. Raises `PrecomputeRefused` for what does not pass."""
        body = {"interests": list(interests), "locale": self._locale, "deadline_ms": self._deadline_s * 1_000}
        try:
            response = self._http.post(self._url + PATH, json={name: value for name, value in body.items() if value is not None})
        except httpx2.TransportError as error:
            return f"it did not answer ({type(error).__name__} {error})"
        if response.status_code in PASSING or (response.status_code == UNAVAILABLE and NOT_CONFIGURED not in response.text):
            return f"{response.status_code} {_detail(response)}"
        if response.status_code != 200:
            raise PrecomputeRefused(f"{self._url} refused with {response.status_code}: {_detail(response)}")
        try:
            answered = PrecomputeResponse.model_validate_json(response.content)
        except ValidationError as error:
            raise PrecomputeRefused(f"{self._url} broke the contract: {error.errors()[0]['msg']}; is it an expander?") from error
        if [row.interest for row in answered.results] != list(interests):
            raise PrecomputeRefused(f"{self._url} answered with other interests than the {len(interests)} that were sent.")
        return answered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def _sendable(interests: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Each interest once, as it comes back in an answer; and those that a whole request would be refused for, with the reason."""
    sendable: dict[str, None] = {}
    refused: dict[str, str] = {}
    for interest in interests:
        try:
            sendable[_TEXT.validate_python(interest)] = None
        except ValidationError as error:
            refused[interest] = f"it is not sent: {error.errors()[0]['msg']}"
    return list(sendable), refused


def _detail(response: httpx2.Response) -> str:
    try:
        return Problem.model_validate_json(response.content).detail
    except ValidationError:
        return response.text[:300]
