"""A small, bounded load of recommendations: who was answered and who was not. Knows nothing of what is restarted meanwhile."""

import itertools
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

INTERESTS = ("vampires", "space opera", "first love", "detectives in Victorian London", "dragons", "the sea", "chess", "a lonely castle")


class Load:
    """`workers` callers that ask for recommendations one after another, from entering the context until leaving it.

    A request failed unless it was answered 200: another status, a refused or broken connection and a timeout all count, and nothing is
    tried again. Connections are kept open between requests, as a real caller's pool does. It ends by itself after `limit_s` seconds.
    """

    def __init__(
        self, url: str, workers: int = 4, *, pause_s: float = 0.05, timeout_s: float = 15, limit_s: float = 300, deadline_ms: int = 3_000
    ) -> None:
        self.failures: list[str] = []
        """One line per request that was not answered 200, with the second of the load in which it ended."""
        self.answered = 0
        self.degraded = 0
        """How many of the answers named a stage that was substituted."""
        self._url, self._pause_s, self._timeout_s, self._limit_s, self._deadline_ms = url, pause_s, timeout_s, limit_s, deadline_ms
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"load-{number}") for number in range(workers)]

    def wait_answered(self, more: int, timeout_s: float = 60) -> None:
        """Returns once `more` further requests were answered; raises `TimeoutError`."""
        with self._changed:
            aim = self.answered + more
            if not self._changed.wait_for(lambda: self.answered >= aim, timeout_s):
                raise TimeoutError(f"fewer than {more} answers in {timeout_s:.0f} s; last failures: {self.failures[-3:]}")

    def _request(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {"interests": [f"{INTERESTS[number % len(INTERESTS)]}, volume {number}"], "k": 5, "deadline_ms": self._deadline_ms}

    def _work(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=self._timeout_s, trust_env=False) as client:
            while not self._ending.is_set() and time.monotonic() < self._ends:
                try:
                    answer = client.post("/v1/recommendations", json=self._request())
                except httpx2.HTTPError as error:
                    self._note_failure(f"{type(error).__name__}: {error}")
                else:
                    if answer.status_code == 200:
                        self._note_answer(answer.json())
                    else:
                        self._note_failure(f"{answer.status_code}: {answer.text[:200]}")
                self._ending.wait(self._pause_s)

    def _note_answer(self, answer: Mapping[str, Any]) -> None:
        with self._changed:
            self.answered += 1
            self.degraded += bool(answer["degraded"])
            self._changed.notify_all()

    def _note_failure(self, what: str) -> None:
        with self._changed:
            self.failures.append(f"{time.monotonic() - self._started:.1f} s: {what}")

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._ends = self._started + self._limit_s
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
