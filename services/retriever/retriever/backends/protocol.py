"""What the retriever asks of whatever stores and searches the items. Knows neither FAISS nor Milvus, and no HTTP.

Two implementations of `Store`: `retriever.library.Library` (SQLite is the truth, FAISS searches) and `retriever.backends.milvus.Milvus`;
one conformance suite, tests/contract/test_retriever_backends*.py, runs over both.

Words. A *vector space* has a name, a fingerprint, a dimension and a kind, and holds at most one vector for an item. The *role* `content`
points at one vector space; wherever a space is named, the role's name stands for the space that it points at now. The first put into a
store without any vector space creates FIRST_SPACE (kind FIRST_KIND) with the put's fingerprint and points the role at it.

Writes. Every method that writes is all or nothing, is on disk when it returns, and is idempotent: sent again it leaves the same state.
Each raises `generation` by at least one. A search that starts after a write returned sees it (in the same process; for others `Ask` takes
`min_generation`). Writing methods are called from one thread at a time, reading ones from any thread.

Any method may raise StorageFailed (the disk, SQLite or the Milvus server did not do it; nothing was acknowledged).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from retriever.items import AttributeValue, Floats, Item

if TYPE_CHECKING:
    from retriever.filters import Expression
    from retriever.retrieval import Answer, Question
    from retriever.spaces import Upload
    from retriever.uploaded import UploadState

CONTENT: Final = "content"
"""The role that searches use unless they name a space."""
RESERVED: Final = frozenset({CONTENT, "collaborative", "popular"})
"""Names that no vector space may have."""
FIRST_SPACE: Final = "content-1"
FIRST_KIND: Final = "hnsw"


@dataclass(frozen=True, slots=True)
class SpaceIdentity:
    """What of a vector space never changes; `name` is its own, also when it was asked for by the role's."""

    name: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class SpaceState:
    """A vector space now. `rows` items have a vector there, `missing` items have none; `content` says that the role points at it.

    `segments` sealed ones, `unsealed` vectors not in one yet, `dead` vectors that a merge will clear away; None where the backend can
    not know (Milvus keeps this to itself). `previous` says that the role pointed here before the last cut-over: rolling back goes there.
    """

    name: str
    fingerprint: str
    dimension: int
    kind: str
    rows: int
    missing: int
    content: bool
    previous: bool = False
    segments: int | None = None
    unsealed: int | None = None
    dead: int | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A merge patch (RFC 7396) of one item. What is not named stays, the vectors always do.

    `title` None: stays. `text` None: stays; `drop_text`: is removed. `attributes`: a value replaces, None removes that attribute;
    `clear_attributes`: all of them are removed first (the patch's `"attributes": null`).
    """

    id: str
    title: str | None = None
    text: str | None = None
    drop_text: bool = False
    attributes: Mapping[str, AttributeValue | None] = field(default_factory=dict)
    clear_attributes: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did; `generation` is that of the store after it.

    put: `created` and `replaced` items and `duplicates` (earlier lines of the same call with an id that came again; the last one won).
    put_vectors: the same of vectors. patch and delete: `changed` items; delete tells in `unknown` which ids were no items.
    """

    generation: int
    created: int = 0
    replaced: int = 0
    duplicates: int = 0
    changed: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A search: for each of `queries` `(q, d)` float32 of unit length the `n` nearest items by cosine.

    `filter` None lets every item pass; the ids in `exclude` never come, unknown ones do not matter. `effort` asks for that many candidates
    of an approximate index (HNSW's ef, IVF's probes; None: the space's own), `exact` for no approximation at all. `min_generation` is the
    smallest generation to answer from. `deadline` is called now and then and raises when the answer has become useless.
    """

    queries: Floats
    n: int
    space: str = CONTENT
    filter: "Expression | None" = None
    exclude: Collection[str] = ()
    effort: int | None = None
    exact: bool = False
    min_generation: int = 0
    deadline: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Per query, best first: `ids[q]` and `scores[q]` `(len(ids[q]),)` float32 cosines, at most n of them and each id once.

    Fewer than n only when fewer items are allowed and have a vector in the space. `generation` is at most that of the answer (everything
    up to it was seen). `plan` tells JSON-able facts about how it was searched, one mapping for each step, for `explain`.
    """

    ids: Sequence[Sequence[str]]
    scores: Sequence[Floats]
    generation: int
    plan: Sequence[Mapping[str, object]] = ()


class Backend(Protocol):
    """A store of items with vectors in several spaces, searched under filters."""

    @property
    def generation(self) -> int:
        """Of the last acknowledged write that this process knows of; 0 for a store that never had one. Survives restarts."""

    def reached(self, generation: int) -> bool:
        """Whether a read would see the write of this generation, also one of another process."""

    def close(self) -> None:
        """Ends connections, threads and child processes; nothing acknowledged is lost."""

    def check(self) -> None:
        """For readiness: raises IndexNotLoaded or StorageFailed when a search would not be answered."""

    # spaces

    def space(self, name: str = CONTENT) -> SpaceIdentity | None:
        """The vector space of this name, or that the role points at; None for the role in a store without any. Raises SpaceUnknown.

        Called for every search: looks into memory, counts nothing.
        """

    def spaces(self) -> list[SpaceState]:
        """All vector spaces by name."""

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str) -> SpaceState:
        """Adds an empty vector space; one that is there with the same four values is left alone.

        The first one gets the role. Raises SpaceExists when `name` is reserved or names a space with other values, SpaceInvalid for an
        unknown kind, a dimension the backend can not hold, or one that differs from that of another space with the fingerprint.
        """

    def drop_space(self, name: str) -> None:
        """Removes a vector space with its vectors. Raises SpaceUnknown, or SpaceInUse while the role points at it."""

    def cut_over(self, name: str, *, allow_missing: bool = False) -> int:
        """Points the role `content` at the space `name`, atomically: each search sees the one or the other. Returns the generation.

        Rolling back is cutting over to the previous space. Raises SpaceUnknown, or VectorsMissing while items lack a vector there.
        """

    def merge(self, name: str) -> None:
        """Starts sealing and merging the space in the background; may wait for the sealing. Raises SpaceUnknown."""

    # writes

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises FingerprintMismatch, naming this and the content space's fingerprint, when a put with it would be refused."""

    @property
    def crowded(self) -> bool:
        """Whether the next part of a bulk write had better wait a moment: what was written still lies in memory."""

    def put(self, fingerprint: str, items: Sequence[Item], embeddings: Floats) -> Written:
        """Adds or replaces `items`, and their vectors in every space of that fingerprint; vectors in other spaces stay as they are.

        `embeddings` `(len(items), d)` float32 of unit length (1e-3 is forgiven, stored is the normalised vector); of an id that comes
        several times the last one wins. Raises FingerprintMismatch when no space has the fingerprint (the message has both names),
        EmbeddingInvalid for a wrong dimension or length, naming the item.
        """

    def put_vectors(self, space: str, fingerprint: str, ids: Sequence[str], embeddings: Floats) -> Written:
        """Adds or replaces the vectors `(len(ids), d)` of items that are there, in one space; of an id that comes twice the last wins.

        Raises SpaceUnknown, FingerprintMismatch (both names), EmbeddingInvalid, ItemUnknown naming the first id that is no item.
        """

    def patch(self, patches: Sequence[Patch]) -> Written:
        """Applies merge patches in order, all or none.

        Raises ItemUnknown naming the first id that is no item, ItemTooLarge naming the first that would have more than MAX_ATTRIBUTES.
        """

    def delete(self, ids: Sequence[str]) -> Written:
        """Removes items with their vectors in all spaces; ids that are no items are told in `unknown` and no error."""

    # reads

    def __len__(self) -> int:
        """Items."""

    def item(self, name: str) -> Item | None:
        """With its text; None when there is no such item."""

    def items(self, ids: Sequence[str]) -> dict[str, Item]:
        """Those of `ids` that are items, without their texts."""

    def after(self, name: str, limit: int) -> list[Item]:
        """The next `limit` items with their texts in the order of their ids (by code point); `""` begins."""

    def vectors(self, space: str, ids: Sequence[str]) -> Floats:
        """`(len(ids), d)` float32 as stored; a row of NaN where there is no such item or it has no vector there. Raises SpaceUnknown."""

    def search(self, ask: Ask) -> Hits:
        """The nearest allowed items.

        Raises SpaceUnknown, EmbeddingInvalid for a wrong dimension, GenerationNotReached when the store is older than
        `ask.min_generation`, FilterUnsupported when this backend can not evaluate the filter exactly, and what `ask.deadline` raises.
        An empty store (no vector space yet) answers without hits.
        """


class Store(Backend, Protocol):
    """A backend that also holds the uploaded spaces, recommends, and finds what was typed: all that the service answers from."""

    def replace_space(self, name: str, upload: "Upload") -> "UploadState":
        """Puts `upload` in the place of the whole uploaded space `collaborative` or `popular`; a write like `put`."""

    def uploads(self) -> "list[UploadState]":
        """Both uploaded spaces, also those that are empty."""

    def find(self, typed: str, offset: int, limit: int) -> list[Item]:
        """Items with their texts that have every typed word, the last letters of each may be missing, in title or attribute `authors`.

        First the title that is what was typed, then titles that have every word, then the rest; in each the more popular item first.
        """

    def retrieve(self, question: "Question", proposals: int) -> "Answer":
        """Candidates from the four sources, each of which proposes `proposals` items (`retriever.retrieval`).

        Raises NothingToRetrieve, EmbeddingInvalid for a wrong dimension, FilterUnsupported as `search`.
        """
