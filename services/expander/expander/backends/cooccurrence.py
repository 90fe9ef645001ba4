"""Topics from the catalogue's own genres and subjects. Knows the artefact, nothing of LLMs."""

import asyncio

from expander import matching
from expander.artefact import ArtefactFile
from servicekit.deadline import Deadline


class Cooccurrence:
    """Proposes the catalogue's topics that go with what an interest names; a matter of a millisecond."""

    name = "cooccurrence"

    def __init__(self, file: ArtefactFile) -> None:
        self.file = file

    @property
    def model(self) -> str | None:
        """The hash of the artefact in use."""
        return self.file.topics.hash if self.file.topics else None

    async def propose(self, interest: str, most: int, deadline: Deadline) -> tuple[str, ...]:
        """At most `most` topics; () when nothing matches. Raises `ArtefactMissing` or `ArtefactBroken`. Answers even past the deadline."""
        return await asyncio.to_thread(self._propose, interest, most)

    def _propose(self, interest: str, most: int) -> tuple[str, ...]:
        return matching.propose(self.file.current(), interest, most)

    async def check(self) -> None:
        """Raises `ArtefactMissing` or `ArtefactBroken` when no artefact can be used."""
        await asyncio.to_thread(self.file.current)
