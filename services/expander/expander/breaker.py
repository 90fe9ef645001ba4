"""Leaves an LLM alone that fails, and finds out when it works again. Knows nothing of what is asked.

The circuit breaker of Nygard, *Release It!* (2007), over a rolling window. A failure is what says that the server can not answer: no
connection, no answer in time, a status of 500 or more. A refusal for too much (429), an unacceptable answer or a bad question are answers
of a server that works.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from expander.errors import LlmShut
from expander.metrics import BREAKER_STATES, LlmMetrics

WINDOW_S = 30.0
"""Outcomes older than this are forgotten; so are all but the last ..."""
WINDOW_CALLS = 1_000
LEAST_CALLS = 5
"""With fewer outcomes in the window nothing is concluded."""
FAILING_SHARE = 0.5
"""Of the outcomes in the window, from which on it opens."""
OPEN_S, OPEN_MOST_S = 1.0, 10.0
"""It stays open for half to all of a period, at random, so that replicas do not come back at once. The period doubles with each probe
that fails, up to the second number."""


class Breaker:
    """Closed, open, or half open: then one call at a time is let through, a probe, and one more each time a period has passed, so that a
    probe that hangs does not keep the breaker open.

    `on_close` is called when the LLM works again. `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        metrics: LlmMetrics,
        on_close: Callable[[], None] = lambda: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._metrics, self._on_close, self._clock, self._chance = metrics, on_close, clock, chance
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=WINDOW_CALLS)
        self._failures = 0
        self._closed, self._probes = True, 0
        self._era = 0
        self._period_s, self._shut_until = OPEN_S, 0.0
        self._rest_until = 0.0
        self._show()

    @property
    def state(self) -> str:
        """`closed`, `half_open` or `open`."""
        return "closed" if self._closed else "half_open" if self._probes else "open"

    def check(self) -> None:
        """Raises `LlmShut` when a call would not be let through now; lets none through itself."""
        until = self._rest_until if self._closed else max(self._rest_until, self._shut_until)
        if (wait_s := until - self._clock()) > 0:
            raise LlmShut(f"the LLM failed or asked for rest; it is left alone for another {wait_s:.1f} s", retry_after_s=wait_s)

    def enter(self) -> "Passage":
        """Lets one call through, which then tells how it went; raises `LlmShut`."""
        self.check()
        if self._closed:
            return Passage(self, self._era, probe=False)
        self._shut_until = self._clock() + self._jittered()
        self._probes += 1
        self._show()
        return Passage(self, self._era, probe=True)

    def rest(self, seconds: float) -> None:
        """Nobody is let through for so long, at most ten seconds: the server said when to come back."""
        self._rest_until = max(self._rest_until, self._clock() + min(seconds, OPEN_MOST_S))

    def _tell(self, passage: "Passage", failed: bool | None) -> None:
        if passage.era != self._era:  # it began before the breaker last opened or closed, and says nothing of now
            return
        if passage.probe:
            self._probed(failed)
        elif failed is not None:
            self._count(failed)
        self._show()

    def _probed(self, failed: bool | None) -> None:
        self._probes -= 1
        if failed is None:
            self._shut_until = min(self._shut_until, self._clock())
        elif failed:
            self._period_s = min(OPEN_MOST_S, self._period_s * 2)
            self._shut_until = self._clock() + self._jittered()
        else:
            self._turn(closed=True)
            self._period_s = OPEN_S
            self._on_close()

    def _count(self, failed: bool) -> None:
        now = self._clock()
        if len(self._outcomes) == WINDOW_CALLS:
            self._failures -= self._outcomes.popleft()[1]
        self._outcomes.append((now, failed))
        self._failures += failed
        while self._outcomes[0][0] <= now - WINDOW_S:
            self._failures -= self._outcomes.popleft()[1]
        if failed and len(self._outcomes) >= LEAST_CALLS and self._failures >= FAILING_SHARE * len(self._outcomes):
            self._turn(closed=False)
            self._shut_until = now + self._jittered()
            self._metrics.breaker_openings.inc()

    def _turn(self, *, closed: bool) -> None:
        self._closed, self._probes, self._failures = closed, 0, 0
        self._outcomes.clear()
        self._era += 1

    def _jittered(self) -> float:
        return self._period_s * (0.5 + self._chance() / 2)

    def _show(self) -> None:
        for state in BREAKER_STATES:
            self._metrics.breaker_state.labels(state).set(state == self.state)


@dataclass
class Passage:
    """One call that was let through; what it tells first counts, and a call that tells nothing must say that it `left`."""

    breaker: Breaker
    era: int
    probe: bool
    told: bool = False

    def succeeded(self) -> None:
        self._tell(failed=False)

    def failed(self) -> None:
        self._tell(failed=True)

    def left(self) -> None:
        """It was cancelled, or says nothing of the server."""
        self._tell(failed=None)

    def _tell(self, failed: bool | None) -> None:
        if not self.told:
            self.told = True
            self.breaker._tell(self, failed)
