"""How much may be spent: tokens in a minute, of all and of each caller, and second calls. Knows nothing of what is asked.

Each process has its own: N replicas spend N times as much.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from expander.errors import LlmOverBudget

MAX_CALLERS = 10_000
"""Callers remembered. Who was not seen for longest is forgotten first; after a minute without a call nothing is lost by that."""
RETRIES_AT_ONCE = 10.0
"""Second calls that may be saved up, and that there are at the start."""


class Bucket:
    """A token bucket that `per_minute` tokens flow into, and that holds as many; less than none is owed."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._left, self._at = float(per_minute), clock()

    def wait_s(self, tokens: int) -> float:
        """Seconds until `tokens` are there, or until it is full where it can not hold as many; 0 when now."""
        now = self._clock()
        self._left = min(self.per_minute, self._left + (now - self._at) * self.per_minute / 60)
        self._at = now
        return max(0.0, (min(tokens, self.per_minute) - self._left) * 60 / self.per_minute)

    def take(self, tokens: int) -> None:
        """`tokens` less; a negative number goes back."""
        self._left -= tokens


@dataclass
class Reservation:
    """Tokens taken for one call, until it is known how many it was."""

    tokens: int
    buckets: tuple[Bucket, ...]

    def settle(self, used: int) -> None:
        """The call took `used` tokens: the rest goes back, or more is taken. Only the first call of this counts."""
        for bucket in self.buckets:
            bucket.take(used - self.tokens)
        self.buckets = ()


class TokenBudget:
    """`per_minute` tokens for all, `per_caller` for each caller; 0: no limit. `clock` gives seconds and never goes back."""

    def __init__(self, per_minute: int, per_caller: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_caller, self._clock = per_caller, clock
        self._all = (Bucket(per_minute, clock),) if per_minute else ()
        self._callers: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Callers remembered."""
        return len(self._callers)

    def reserve(self, caller: str, tokens: int) -> Reservation:
        """Takes `tokens` of both budgets, or none and raises `LlmOverBudget`.

        A question that is larger than a whole minute's budget passes when that is full; the rest is owed.
        """
        buckets = (*self._all, *self._own(caller))
        for bucket in buckets:
            if (wait_s := bucket.wait_s(tokens)) > 0:
                whose = "all callers" if bucket in self._all else "this caller"
                raise LlmOverBudget(
                    f"the {bucket.per_minute} tokens in a minute of {whose} are spent; ask again in {wait_s:.0f} s, or raise"
                    " `tokens_per_minute` or `tokens_per_minute_per_key` in EXPANDER_LLM_LIMITS",
                    retry_after_s=wait_s,
                )
        for bucket in buckets:
            bucket.take(tokens)
        return Reservation(tokens, buckets)

    def _own(self, caller: str) -> tuple[Bucket, ...]:
        if not self._per_caller:
            return ()
        own = self._callers.setdefault(caller, Bucket(self._per_caller, self._clock))
        self._callers.move_to_end(caller)
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)
        return (own,)


class RetryBudget:
    """Second calls, at most `share` of the first ones and ten: a server that fails never gets twice the load.

    A token bucket that each first call pays into, as Finagle's RetryBudget (percentCanRetry); retry throttling in gRPC (proposal A6) does
    the same by counting failures. Without a clock, so a service that is hardly used saves up nothing but those ten.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = RETRIES_AT_ONCE if share else 0.0

    def first_call(self) -> None:
        """One more question was asked."""
        self._left = min(RETRIES_AT_ONCE, self._left + self._share)

    def take(self) -> bool:
        """Whether one more second call may be made; if so, it is counted."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
