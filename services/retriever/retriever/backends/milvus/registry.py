"""What Milvus keeps about the store itself: generation, spaces, and the space that the role `content` points at. Knows no items.

The first two are rows of the collection `facts`, the role is an alias, so that cutting over is one step of the server. What was read last
is kept as one immutable value, which threads take once; it is read anew before each write and whenever it does not know an answer.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from retriever.backends.milvus.rows import NOWHERE, VECTOR_FIELDS
from retriever.backends.milvus.server import Row, Server
from retriever.backends.protocol import CONTENT
from retriever.errors import SpaceUnknown

STATE: Final = "state"
SPACE: Final = "space:"
UPLOAD: Final = "upload:"


@dataclass(frozen=True)
class Space:
    """A vector space and the collection where its vectors are."""

    name: str
    fingerprint: str
    dimension: int
    kind: str
    collection: str


@dataclass(frozen=True)
class Mark:
    """Which `parts` of an uploaded space are its present content: those with this `stamp`, which together have this `sha256`."""

    name: str
    kind: str
    stamp: str
    parts: int
    sha256: str


@dataclass(frozen=True)
class Known:
    """The store at one moment; `previous` is the name of the space that was content before."""

    generation: int = 0
    previous: str | None = None
    content: Space | None = None
    spaces: Mapping[str, Space] = field(default_factory=dict)
    uploads: Mapping[str, Mark] = field(default_factory=dict)


class Registry:
    """Read by any thread and process, written by one thread of one process: the generation is read and raised here."""

    def __init__(self, server: Server) -> None:
        self._server, self._facts, self.alias = server, server.named("facts"), server.named(CONTENT)
        self.known = Known()
        server.ready(self._facts, (("value", "json"),), len(NOWHERE), "flat")
        self.look()

    def look(self) -> Known:
        """As Milvus has it now."""
        facts: dict[str, Row] = {}
        for page in self._server.pages(self._facts, "", ["value"], 1_000):
            facts |= {row["id"]: row["value"] for row in page}
        state = facts.get(STATE, {"generation": 0, "previous": None})
        spaces = {name: Space(**fact, collection=self._server.named(SPACE + name)) for name, fact in _under(SPACE, facts).items()}
        uploads = {name: Mark(**fact) for name, fact in _under(UPLOAD, facts).items()}
        for space in spaces.values():
            if space not in self.known.spaces.values():
                self._server.load(space.collection)
        aliased = self._server.aliased(self.alias)
        content = next((space for space in spaces.values() if space.collection == aliased), None)
        known = Known(int(state["generation"]), state["previous"], content, spaces, uploads)
        if known.generation >= self.known.generation:  # a thread that read earlier does not set back one that read later
            self.known = known
        return self.known

    def current(self) -> Known:
        """The store as it is now, read anew only when its generation is another one or the role points elsewhere."""
        known, facts, aliased = self.known, self._server.get(self._facts, [STATE], ["value"]), self._server.aliased(self.alias)
        generation = int(facts[STATE]["value"]["generation"]) if facts else 0
        same = generation == known.generation and aliased == (known.content.collection if known.content else None)
        return known if same else self.look()

    def find(self, name: str) -> Space | None:
        """The space of this name or of the role; None for the role while there is no space. Raises SpaceUnknown.

        For the role the server is asked each time, for another process may have cut over.
        """
        if name == CONTENT:
            content, aliased = self.known.content, self._server.aliased(self.alias)
            return content if content and content.collection == aliased else self.look().content
        if found := self.known.spaces.get(name) or self.look().spaces.get(name):
            return found
        raise SpaceUnknown(f"There is no vector space {name[:200]!r}; there are: {', '.join(self.known.spaces) or 'none yet'}.")

    def required(self, name: str) -> Space:
        """Raises SpaceUnknown also for the role while there is no space."""
        if found := self.find(name):
            return found
        raise SpaceUnknown(f"The role {CONTENT!r} points at no space yet; create one first.")

    def add(self, name: str, fingerprint: str, dimension: int, kind: str) -> Space:
        """An empty space, which gets the role when nothing has it. Raises SpaceInvalid."""
        space = Space(name, fingerprint, dimension, kind, self._server.named(SPACE + name))
        if self._server.exists(space.collection):  # left by a creation or a removal that was cut off
            self._server.drop(space.collection)
        self._server.create(space.collection, VECTOR_FIELDS, dimension, kind)
        self._note(SPACE + name, {"name": name, "fingerprint": fingerprint, "dimension": dimension, "kind": kind})
        if self.known.content is None:
            self._server.point(self.alias, space.collection)
        self.risen()
        self.look()
        return space

    def remove(self, space: Space) -> None:
        self._server.delete(self._facts, [SPACE + space.name])
        self._server.drop(space.collection)
        self.risen()
        self.look()

    def point(self, space: Space) -> int:
        """Gives the role to `space`; returns the generation."""
        before = self.known.content
        self._server.point(self.alias, space.collection)
        if before and before != space:
            self.known = replace(self.known, previous=before.name)
        generation = self.risen()
        self.look()
        return generation

    def mark(self, mark: Mark) -> None:
        """From now on `mark` says what the uploaded space is."""
        self._note(UPLOAD + mark.name, asdict(mark))
        self.risen()
        self.look()

    def risen(self) -> int:
        """The next generation, once it is stored."""
        generation = self.known.generation + 1
        self._note(STATE, {"generation": generation, "previous": self.known.previous})
        self.known = replace(self.known, generation=generation)
        return generation

    def _note(self, key: str, value: Mapping[str, object]) -> None:
        self._server.upsert(self._facts, [{"id": key, "vector": NOWHERE, "value": dict(value)}])


def _under(prefix: str, facts: Mapping[str, Row]) -> dict[str, Row]:
    """The facts whose keys begin so, by the rest of the key."""
    return {key.removeprefix(prefix): facts[key] for key in sorted(facts) if key.startswith(prefix)}
