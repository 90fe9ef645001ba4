"""Everything that can go wrong in the retriever. Knows no HTTP status.

RetrieverError
├── ItemUnknown           no item has this id
├── SpaceUnknown          no space of this name takes uploads
├── CursorInvalid         a cursor that no page gave out
├── FingerprintMismatch   embeddings of another encoder
├── EmbeddingInvalid      wrong dimension or length
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
