"""Everything that can go wrong in the retriever. Knows no HTTP status.

RetrieverError
├── ItemUnknown           no item has this id
├── SpaceUnknown          no space of this name takes uploads
├── CursorInvalid         a cursor that no page gave out
├── FingerprintMismatch   embeddings of another encoder
├── EmbeddingInvalid      wrong dimension or length
├── SpaceExists           the name is taken or reserved
├── SpaceInvalid          a kind or dimension that no vector space can have
├── SpaceInUse            the role content points at it
├── VectorsMissing        a cut-over to a space in which items lack a vector
├── SearchInvalid         a search whose parts do not fit together
├── DeadlineMissed        the answer would have come too late
├── Overloaded            too many searches wait already; this one was not begun
├── LineRefused           a line of a bulk write; the lines before it are stored
├── GenerationNotReached  this store is older than what was asked for
├── FilterUnsupported     the backend can not evaluate this filter exactly
├── ItemTooLarge          more attributes than an item may have, or than the backend has room for
├── SpaceRowRefused       a line of a space upload; the whole upload is dropped
├── NothingToRetrieve     no source has anything to go by
├── IndexNotLoaded        asked before the index was built
├── BuildFailed           a segment or base of attributes could not be built
├── FolderTaken           another process uses the state folder
├── FolderNotEmpty        restored into a folder that holds something
├── StorageAway           object storage can not be reached, or refuses
├── ObjectMissing         object storage has no object of this name
├── Damaged               an object is not what was written
├── Foreign               an object of another format, layout or line of changes
├── PublisherReplaced     another writer publishes to this URL
├── ReadOnly              a write sent to a read replica
└── StorageFailed         SQLite could not store or read
"""


class RetrieverError(Exception):
    """The message says what was wrong, the value and the remedy."""


class ItemUnknown(RetrieverError):
    """No item has this id."""


class SpaceUnknown(RetrieverError):
    """No space of this name takes uploads."""


class CursorInvalid(RetrieverError):
    """A cursor that no page gave out."""


class FingerprintMismatch(RetrieverError):
    """Embeddings of another encoder than the content space's."""


class EmbeddingInvalid(RetrieverError):
    """An embedding of the wrong dimension or length."""


class SpaceExists(RetrieverError):
    """The name of a new vector space is reserved, or names a space with another fingerprint, dimension or kind."""


class SpaceInvalid(RetrieverError):
    """A kind that is not in the table, or a dimension that the backend can not hold."""


class SpaceInUse(RetrieverError):
    """The role `content` points at this space; cut over to another one before it is dropped."""


class VectorsMissing(RetrieverError):
    """A cut-over to a space in which items still lack a vector."""


class SearchInvalid(RetrieverError):
    """A search whose parts do not fit together, or whose answer would be too large."""


class DeadlineMissed(RetrieverError):
    """The answer would have come after the deadline; `stage` is what was being done."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"The deadline passed at the stage {stage!r}; allow more time with deadline_ms, ask for less, or try again.")
        self.stage = stage


class Overloaded(RetrieverError):
    """Too many searches are being worked on or wait; this one was refused before it began."""


class LineRefused(RetrieverError):
    """A line of a bulk write was not usable; the `stored` lines before it are stored."""

    def __init__(self, line: int, reason: str, stored: int) -> None:
        super().__init__(
            f"Line {line}: {reason} The {stored} lines before it are stored; correct it and send it with those after it, or all again: "
            "what is stored already does no harm."
        )
        self.line, self.stored = line, stored


class GenerationNotReached(RetrieverError):
    """This store has not seen the generation that was asked for; `generation` is where it is."""

    def __init__(self, wanted: int, generation: int) -> None:
        super().__init__(f"This store is at generation {generation}, not yet at {wanted}; ask again in a moment, or ask the writer.")
        self.generation = generation


class FilterUnsupported(RetrieverError):
    """This backend can not evaluate the filter exactly, and does not answer approximately."""


class ItemTooLarge(RetrieverError):
    """An item with more attributes than one may have, or with more or longer values than the backend can hold."""


class SpaceRowRefused(RetrieverError):
    """A line of a space upload was not usable; nothing of the upload is kept."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(f"Row {row}: {reason} Nothing was replaced; correct the row and upload the whole space again.")
        self.row = row


class NothingToRetrieve(RetrieverError):
    """No source has anything to go by."""


class IndexNotLoaded(RetrieverError):
    """Asked before the index was built from the catalogue."""


class BuildFailed(RetrieverError):
    """A segment or a base of attributes could not be built; the index stays as it is."""


class FolderTaken(RetrieverError):
    """Another process uses the state folder; this one does not start."""


class StorageFailed(RetrieverError):
    """SQLite could not store or read."""


class FolderNotEmpty(RetrieverError):
    """A snapshot is restored into an empty folder only."""


class StorageAway(RetrieverError):
    """Object storage can not be reached, or refuses; what was asked may work later."""


class ObjectMissing(RetrieverError):
    """Object storage has no object of this name."""


class Damaged(RetrieverError):
    """An object in storage is not what was written: cut off, changed or incomplete."""


class Foreign(RetrieverError):
    """An object in storage is whole but not for this retriever: another format, layout or line of changes."""


class PublisherReplaced(RetrieverError):
    """Another writer publishes to this URL; this one has stopped publishing."""


class ReadOnly(RetrieverError):
    """A write sent to a replica that only reads."""
