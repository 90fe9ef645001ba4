"""The co-occurrence artefact as read from its file. Knows its format, nothing of how topics are chosen from it.

The pipelines write it (`python -m pipelines.topics`); what its members mean is said there and, in one line each, here.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from expander.errors import ArtefactBroken, ArtefactMissing
from expander.words import folded, name_key
from servicekit import logs

LOG = logs.get(__name__)
FORMATS = (1, 2)
"""Formats that are read; 2 added `authors`, of which there are none in a file of format 1."""
HASH_LENGTH = 12
POLL_S = 1.0
GENERIC = frozenset({"fiction", "literature"})
Strength = tuple[int, Annotated[float, Field(gt=0, le=1)]]


class _File(BaseModel):
    """The artefact as it stands in the file; topics are positions in `topics`.

    Members that are not known are passed over, so that what a later version adds keeps its format number where it may be left out. (Before
    format 2 they were refused: a service from then that has an artefact keeps it, and one that starts beside a file of format 2 has none.)
    """

    model_config = ConfigDict(extra="ignore")

    format: int
    items: int = Field(ge=0)
    topics: list[tuple[str, Annotated[int, Field(ge=1)]]]
    common: list[int]
    related: list[list[Strength]]
    phrases: dict[str, int]
    words: dict[str, list[Strength]]
    authors: list[tuple[str, Annotated[int, Field(ge=1)]]] = []
    content_hash: str


@dataclass(frozen=True)
class Topics:
    """The catalogue's topics and what leads to them; topics are positions in `labels`."""

    hash: str
    items: int
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    """Items that carry each topic."""
    common: frozenset[int] = frozenset()
    """Topics that stand on so many items that proposing them says nothing."""
    related: tuple[tuple[Strength, ...], ...] = ()
    """For each topic the topics it goes with, strength in (0, 1], strongest first."""
    phrases: dict[frozenset[str], int] = field(default_factory=dict)
    """Folded words of a spelling, in any order -> topic."""
    words: dict[str, tuple[Strength, ...]] = field(default_factory=dict)
    """Folded word of titles and authors -> topics it makes likely, strength in (0, 1]."""
    tokens: tuple[frozenset[str], ...] = ()
    """Folded words of each label."""
    authors: dict[str, str] = field(default_factory=dict)
    """`name_key` of an author -> the name as the catalogue writes it."""


def load(path: Path) -> Topics:
    """Reads and checks the file; raises `ArtefactMissing` or `ArtefactBroken`."""
    try:
        content = json.loads(path.read_bytes())
        file = _File.model_validate(content)
    except FileNotFoundError as error:
        raise ArtefactMissing(f"there is no artefact at {path}; make it with `python -m pipelines.topics`") from error
    except (OSError, ValueError, ValidationError) as error:
        raise ArtefactBroken(f"{path} can not be read as an artefact ({type(error).__name__}); make it again") from error
    if file.format not in FORMATS:
        raise ArtefactBroken(f"{path} has format {file.format}, this service reads {FORMATS[0]} to {FORMATS[-1]}; make it again")
    if content_hash(content) != file.content_hash:
        raise ArtefactBroken(f"{path} does not match its content_hash {file.content_hash[:HASH_LENGTH]}; make it again")
    return _topics(file, path)


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all members but `content_hash`, in hexadecimal."""
    rest = {name: value for name, value in content.items() if name != "content_hash"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()


def _topics(file: _File, path: Path) -> Topics:
    size = len(file.topics)
    pointed = {topic for pairs in (*file.related, *file.words.values()) for topic, _ in pairs} | {*file.common, *file.phrases.values()}
    if len(file.related) != size or any(not 0 <= topic < size for topic in pointed):
        raise ArtefactBroken(f"{path} points at topics it does not have ({size} are there); make it again")
    return Topics(
        hash=file.content_hash[:HASH_LENGTH],
        items=file.items,
        labels=tuple(label for label, _ in file.topics),
        counts=tuple(count for _, count in file.topics),
        common=frozenset(file.common),
        related=tuple(map(tuple, file.related)),
        phrases=_phrases(file.phrases),
        words={key: tuple(pairs) for word, pairs in file.words.items() for key in folded(word)},
        tokens=tuple(frozenset(folded(label)) for label, _ in file.topics),
        authors={key: name for name, _ in reversed(file.authors) if (key := name_key(name))},  # of two alike the one with more items
    )


def _phrases(spellings: Mapping[str, int]) -> dict[frozenset[str], int]:
    """By folded words. A spelling of which folding takes a word ("u s history") leaves what it becomes to one that is just that."""
    keys = {phrase: frozenset(folded(phrase)) for phrase in spellings}
    whole_last = sorted(spellings, key=lambda phrase: len(keys[phrase]) - len(phrase.split()))
    return {keys[phrase]: spellings[phrase] for phrase in whole_last if keys[phrase] - GENERIC}


class ArtefactFile:
    """The newest readable artefact at `path`; a broken new one leaves the old in use.

    Looks at the file at most once in `poll_s` seconds and reads it when it has changed, which takes about 0.1 s for 6,000 items:
    call `current` from a thread. Threads that come while another reads get the artefact of before.
    """

    def __init__(self, path: Path, poll_s: float = POLL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._poll_s, self._clock = path, poll_s, clock
        self._reading = threading.Lock()
        self._looked: float | None = None
        self._seen: tuple[int, int, int] | None = None
        self.topics: Topics | None = None
        """The artefact read last; None when none could be read so far."""
        self.problem: ArtefactMissing | ArtefactBroken | None = None
        """Why the file as it is now is not in use; None when it is."""

    def current(self) -> Topics:
        """The artefact in use, after a look at the file; raises `ArtefactMissing` or `ArtefactBroken` when there is none."""
        if self._looked is None:
            with self._reading:
                self._look()
        elif self._reading.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._reading.release()
        if (topics := self.topics) is None:
            assert self.problem is not None
            raise type(self.problem)(str(self.problem))
        if not topics.labels:
            raise ArtefactMissing(f"{self.path} has no topics: no genre or subject stands on enough of its {topics.items} items")
        return topics

    def _look(self) -> None:
        now = self._clock()
        if self._looked is not None and now - self._looked < self._poll_s:
            return
        stamp = self._stamp()
        if self._looked is None or stamp != self._seen:
            self._read()
        self._looked, self._seen = now, stamp

    def _read(self) -> None:
        try:
            self.topics, self.problem = load(self.path), None
        except (ArtefactMissing, ArtefactBroken) as error:
            self.problem = error
            LOG.warning("artefact_not_read", path=str(self.path), reason=str(error), kept=self.topics is not None)
            return
        LOG.info("artefact_loaded", path=str(self.path), hash=self.topics.hash, topics=len(self.topics.labels))

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
