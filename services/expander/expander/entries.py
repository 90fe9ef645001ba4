"""An expansion as it is kept, and the protocol of what keeps it beyond this process. Knows nothing of how either is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from expander.interests import Asked

NEGATIVE_TTL_S = 60.0
"""Seconds for which an interest that the LLM gave nothing acceptable for is not asked for again."""

PERSONAL_TTL_S = 86_400.0
"""Seconds after which a store that is not shared gives up what a user's words led to: an erasure does not reach it from another replica."""


@dataclass(frozen=True)
class Entry:
    """Topics as an LLM gave them (3 to 5; () for a negative result, whose `cause` says why there are none).

    `made_at` in seconds since the epoch; `tokens` is what making it took, and what every later answer from here saves; `completion_tokens`
    is the answers' part of them, which has a price of its own. `personal` when a user's words led to it: such an entry goes with the user.
    Of a batch made ahead of traffic it is False. `refused_at`: when making it anew was last answered with nothing acceptable, 0 if never.
    """

    topics: tuple[str, ...]
    made_at: float
    tokens: int = 0
    cause: str | None = None
    personal: bool = False
    completion_tokens: int = 0
    refused_at: float = 0.0


def key_of(asked: Asked, model: str, prompt_version: str) -> str:
    """What makes two expansions the same."""
    return f"{asked.canonical}:{model}:{prompt_version}"


class Store(Protocol):
    """Keeps entries beyond the life of this process. Where it fails it logs, counts, and answers as if it were empty: it never raises."""

    shared: bool
    """Whether other processes see what is put here."""

    async def get(self, key: str) -> Entry | None:
        """The entry, of any age."""
        ...

    async def put(self, key: str, entry: Entry, user_id: str | None, took_s: float = 0.0) -> None:
        """Keeps `entry`; returns when it is kept. Of `user_id`, when there is one, `erase` removes it.

        `took_s`: how long ago making it was begun. What was begun before `user_id` was erased is not kept where the store is shared.
        """
        ...

    async def erase(self, user_id: str) -> Sequence[str]:
        """Removes every entry that was put for `user_id` and the record of it; their keys. Raises `StoreUnavailable`."""
        ...

    async def lease(self, key: str, seconds: float) -> bool:
        """Whether this process is the one that makes `key` for the next `seconds`; always True where nobody else could."""
        ...

    async def release(self, key: str) -> None:
        """Ends the lease that this process has."""
        ...

    async def close(self) -> None: ...
