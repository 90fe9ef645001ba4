"""Topics from the catalogue's own genres and subjects. Knows the artefact, nothing of LLMs.

An interest in the catalogue's own words ("dragons and wizards") gets the topics that go with them on items. Any other ("a boy who learns
spells") gets those that are nearest in meaning to it and its parts, where there is an encoder, and after them the first that its words
lead to, where some of them name topics ("witches solving murders"). Without an encoder it gets those that its words lead to, if enough do.
"""

import asyncio

from expander import matching
from expander.artefact import ArtefactFile, Topics
from expander.nearest import Nearest
from servicekit.deadline import Deadline

MOST_BY_WORDS = 3
"""Topics that words lead to beside those by meaning."""


class Cooccurrence:
    """Proposes the catalogue's topics for an interest; a matter of a millisecond, and one call of the encoder where words do not do."""

    name = "cooccurrence"

    def __init__(self, file: ArtefactFile, nearest: Nearest | None = None) -> None:
        self.file = file
        self._nearest = nearest

    @property
    def model(self) -> str | None:
        """The hash of the artefact in use."""
        return self.file.topics.hash if self.file.topics else None

    async def propose(self, interest: str, most: int, deadline: Deadline) -> tuple[str, ...]:
        """At most `most` topics; () when nothing matches. Raises `ArtefactMissing` or `ArtefactBroken`. Answers even past the deadline."""
        topics, named_share, matched = await asyncio.to_thread(self._matched, interest, most)
        if self._nearest is None or named_share == 1 or not interest.strip():
            return matched
        if (near := await self._nearest.labels(topics, interest, deadline)) is None:
            return matched
        by_words = matched[:MOST_BY_WORDS] if named_share > 0 else ()
        return tuple(dict.fromkeys((*near, *by_words)))[:most]

    def _matched(self, interest: str, most: int) -> tuple[Topics, float, tuple[str, ...]]:
        topics = self.file.current()
        return topics, matching.named_share(topics, interest), matching.propose(topics, interest, most)

    async def check(self) -> None:
        """Raises `ArtefactMissing` or `ArtefactBroken` when no artefact can be used."""
        await asyncio.to_thread(self.file.current)
