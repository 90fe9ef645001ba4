"""What answers when a stage fails: the one table of it, and what was substituted in one answer. Knows nothing of how a stage works."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["expander", "encoder", "retriever", "profiles"]


@dataclass(frozen=True, slots=True)
class Substitute:
    """One line of the table: when the stage is down or late, and what answers in its place."""

    stage: Stage
    when: str
    answer: str


TABLE = (
    CACHED_EXPANSION := Substitute("expander", "the LLM is down, the expansion is cached", "a cached expansion"),
    CATALOGUE_TOPICS := Substitute("expander", "the LLM is down", "co-occurrence topics"),
    BARE_INTEREST := Substitute("expander", "the expander is down, or the LLM is and nothing matched", "the bare interest"),
    CACHED_EMBEDDINGS := Substitute("encoder", "the encoder is down, some texts are known", "cached embeddings of known texts"),
    WITHOUT_CONTENT := Substitute("encoder", "the encoder is down, no text is known", "collaborative and popular sources only"),
    LAST_ANSWER := Substitute("retriever", "the retriever is down, this was asked before", "the last good answer to this request"),
    POPULAR_LIST := Substitute(
        "retriever", "the retriever is down, a popular list is held (else 503)", "the popular list held by the gateway"
    ),
    FIRST_SEARCH := Substitute("retriever", "the second search, without unknown items, is late", "the search with unknown items"),
    STATELESS := Substitute("profiles", "the store of events is down", "what the request itself carries"),
)


@dataclass(frozen=True, slots=True)
class Degradation:
    """A stage that failed or was late in this answer, and what answered in its place."""

    stage: Stage
    reason: str
    substitute: str


@dataclass(slots=True)
class Degradations:
    """What was substituted so far in one answer; the first substitute of a stage counts."""

    _noted: dict[Stage, Degradation] = field(default_factory=dict)

    def note(self, substitute: Substitute, reason: object) -> None:
        self._noted.setdefault(substitute.stage, Degradation(substitute.stage, str(reason)[:300], substitute.answer))

    def __bool__(self) -> bool:
        return bool(self._noted)

    def __iter__(self) -> Iterator[Degradation]:
        return iter(self._noted.values())
