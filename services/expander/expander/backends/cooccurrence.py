"""Topics from the catalogue's own genres and subjects. Knows the artefact, nothing of LLMs.

An interest in the catalogue's own words ("dragons and wizards") gets the topics that go with them on items. Any other ("a boy who learns
spells") gets those that are nearest to it in meaning, where there is an encoder; else those that its words lead to, if enough of them do.
"""

import asyncio

from expander import matching
from expander.artefact import ArtefactFile, Topics
from expander.nearest import Nearest
from servicekit.deadline import Deadline


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
        if self._nearest is not None and named_share < 1 and interest.strip():
            near = await self._nearest.labels(topics, interest, deadline)
            if near is not None:
                return near[:most]
        return matched

    def _matched(self, interest: str, most: int) -> tuple[Topics, float, tuple[str, ...]]:
        topics = self.file.current()
        return topics, matching.named_share(topics, interest), matching.propose(topics, interest, most)

    async def check(self) -> None:
        """Raises `ArtefactMissing` or `ArtefactBroken` when no artefact can be used."""
        await asyncio.to_thread(self.file.current)
