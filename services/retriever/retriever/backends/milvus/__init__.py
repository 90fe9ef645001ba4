"""Milvus behind the retriever's backend protocol; pymilvus is imported in this package only."""

from retriever.backends.milvus.store import Milvus

__all__ = ["Milvus"]
