"""Stands where the library is while items and vectors are in another store: says what needs the index of this machine. Knows no store.

`app.state.backend` is then that store, and `app.state.library` a `Remote`: items, searches, spaces and roles are answered by the store.
"""

from typing import TYPE_CHECKING, NoReturn

from retriever.errors import LocalOnly

if TYPE_CHECKING:
    from retriever.uploaded import UploadState


class Remote:
    """Has no uploaded spaces; whatever else it is asked, such as retrieval from the fused sources, raises LocalOnly."""

    def uploads(self) -> "list[UploadState]":
        """None can be uploaded."""
        return []

    def __getattr__(self, name: str) -> NoReturn:
        raise LocalOnly(
            "This needs the index of this machine, and items are in Milvus: the fused sources, uploaded spaces and search as you type are "
            "answered by a retriever on FAISS only. Ask POST /v1/search, or clear RETRIEVER_MILVUS_URL (docs/scale.md)."
        )
