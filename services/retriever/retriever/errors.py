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
├── GenerationNotReached  this store is older than what was asked for
├── FilterUnsupported     the backend can not evaluate this filter exactly
├── SpaceRowRefused       a line of a space upload; the whole upload is dropped
├── NothingToRetrieve     no source has anything to go by
├── IndexNotLoaded        asked before the index was built
├── FolderTaken           another process uses the state folder
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


class GenerationNotReached(RetrieverError):
    """This store has not seen the generation that was asked for; `generation` is where it is."""

    def __init__(self, wanted: int, generation: int) -> None:
        super().__init__(f"This store is at generation {generation}, not yet at {wanted}; ask again in a moment, or ask the writer.")
        self.generation = generation


class FilterUnsupported(RetrieverError):
    """This backend can not evaluate the filter exactly, and does not answer approximately."""


class SpaceRowRefused(RetrieverError):
    """A line of a space upload was not usable; nothing of the upload is kept."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(f"Row {row}: {reason} Nothing was replaced; correct the row and upload the whole space again.")
        self.row = row


class NothingToRetrieve(RetrieverError):
    """No source has anything to go by."""


class IndexNotLoaded(RetrieverError):
    """Asked before the index was built from the catalogue."""


class FolderTaken(RetrieverError):
    """Another process uses the state folder; this one does not start."""


class StorageFailed(RetrieverError):
    """SQLite could not store or read."""
