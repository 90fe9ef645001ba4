"""What one expansion is made for: an interest, and what else is known of who has it. Knows nothing of LLMs."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from expander.words import normalised


@dataclass(frozen=True)
class Liked:
    """One item of a history: its title, what it was given (0 to 5 stars), and what was written about it."""

    title: str
    stars: float | None = None
    review: str | None = None


@dataclass(frozen=True)
class Asked:
    """One interest, in the words of who has it; "" when only the history speaks. `user_id` says whose words these are."""

    interest: str
    history: tuple[Liked, ...] = ()
    locale: str | None = None
    user_id: str | None = None

    @property
    def words(self) -> str:
        """What the catalogue is searched with: the interest, or the titles of the history."""
        return self.interest or " ".join(one.title for one in self.history)

    @cached_property
    def canonical(self) -> str:
        """SHA-256, in hexadecimal, of everything that the LLM is told: equal for what differs only in case, white space or composition.

        A hash, so that what is kept under it does not hold a person's words.
        """
        history = [[normalised(one.title), one.stars, normalised(one.review or "")] for one in self.history]
        told = json.dumps([normalised(self.interest), history, (self.locale or "").lower()], ensure_ascii=False)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
