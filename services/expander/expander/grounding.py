"""Says what each topic is in the catalogue, and remembers it. Knows nothing of who proposed the topics, and none of the rules.

A topic is grounded when it is shown, not when it is made: a catalogue that has changed its vocabulary costs no LLM call, only another
look at the words. That takes about 20 microseconds, once for each topic and vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from expander import vocabulary
from expander.artefact import ArtefactFile, Topics

REMEMBERED = 65_536


@dataclass(frozen=True)
class Grounded:
    """A topic, and the catalogue's own word for it; None when the catalogue has none."""

    topic: str
    label: str | None = None
    kind: Literal["subject", "author"] | None = None


class Grounder:
    """Grounds topics in the artefact that `file` has in use; reads no file itself, so it may be called from the event loop and threads."""

    def __init__(self, file: ArtefactFile) -> None:
        self._file = file
        self._known = _Known(None)

    @property
    def version(self) -> str | None:
        """Which vocabulary topics are grounded in; None when there is none, and then nothing is off-catalogue either."""
        return self._file.topics.hash if self._file.topics else None

    def of(self, topics: Sequence[str]) -> tuple[Grounded, ...]:
        """One per topic, in order."""
        known, current = self._known, self._file.topics
        if known.topics is not current:
            known = self._known = _Known(current)  # two threads may both do this: one memory is then lost, no answer is wrong
        return tuple(map(known.grounded, topics))


class _Known:
    """What was found for one vocabulary."""

    def __init__(self, topics: Topics | None) -> None:
        self.topics = topics
        self.grounded = lru_cache(maxsize=REMEMBERED)(partial(_grounded, topics)) if topics else Grounded


def _grounded(topics: Topics, topic: str) -> Grounded:
    if (label := vocabulary.spelling(topics, topic)) is not None:
        return Grounded(topic, label, "subject")
    if (name := vocabulary.author(topics, topic)) is not None:
        return Grounded(topic, name, "author")
    if (label := vocabulary.subject(topics, topic)) is not None:
        return Grounded(topic, label, "subject")
    return Grounded(topic)
