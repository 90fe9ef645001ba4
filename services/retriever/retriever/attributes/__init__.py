"""Attributes of items, indexed so that a filter becomes a bitmap. Knows nothing of vectors, SQLite and the wire."""

from retriever.attributes.attributes import Attributes

__all__ = ["Attributes"]
