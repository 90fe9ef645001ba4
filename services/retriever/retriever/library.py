"""Keeps the catalogue on disk and its view in memory together. Knows nothing of threads, HTTP and questions.

Writing methods are to be called from one thread. Each prepares the next view, commits to SQLite and only then shows the view: nobody is
told or sees what a kill could take back, and what was refused is not stored.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retriever.catalogue import Catalogue, Identity
from retriever.centred import Centre
from retriever.errors import EmbeddingInvalid, FingerprintMismatch, IndexNotLoaded, ItemUnknown
from retriever.items import Doubles, Floats, Item
from retriever.spaces import COLLABORATIVE, POPULAR, Upload
from retriever.view import View

CONTENT = "content"
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class SpaceState:
    """What a space holds now."""

    name: str
    kind: str
    rows: int
    unknown: int = 0
    dimension: int | None = None
    fingerprint: str | None = None


class Library:
    """The items and spaces of one folder. `view` is replaced as a whole; take it once per request."""

    def __init__(self, path: Path, lenders: int) -> None:
        self.catalogue, self._lenders = Catalogue(path), lenders
        try:
            self.identity, self.view = self._load()
        except BaseException:
            self.close()
            raise
        self._current = True

    def close(self) -> None:
        self.catalogue.close()

    def upsert(self, fingerprint: str, items: Sequence[Item], embeddings: Sequence[Floats | Doubles]) -> tuple[int, int]:
        """Adds or replaces `items` in order, all or none; returns how many were created and replaced.

        Raises FingerprintMismatch when the content space has another fingerprint, EmbeddingInvalid for an embedding that has not its
        dimension or is not of unit length.
        """
        self._catch_up()
        self.check_fingerprint(fingerprint)
        identity = self.identity or Identity(fingerprint, len(embeddings[0]))
        units = _units(items, embeddings, identity.dimension)
        new = {item.id for item in items} - self.view.row_of.keys()
        with self._changing():
            view = self.view.with_items([replace(item, text=None) for item in items], units)
            self.catalogue.store(identity, items, units, self._moved(view))
            self.identity, self.view = identity, view
        return len(new), len(items) - len(new)

    def delete(self, name: str) -> None:
        """Raises ItemUnknown when there is no such item."""
        self._catch_up()
        if name not in self.view.row_of:
            raise unknown(name)
        with self._changing():
            view = self.view.without(name)
            self.catalogue.delete(name, self._moved(view))
            self.view = view

    def replace_space(self, name: str, upload: Upload) -> SpaceState:
        """Puts `upload` in the place of the whole space."""
        self._catch_up()
        with self._changing():
            view = self.view.with_space(name, upload)
            self.catalogue.replace_space(name, upload)
            self.view = view
        return _state(name, upload, self.view)

    def spaces(self) -> list[SpaceState]:
        """The state of all spaces."""
        view, identity = self.view, self.identity
        content = SpaceState(CONTENT, "vectors", len(view), 0, identity.dimension, identity.fingerprint) if identity else None
        uploads = {COLLABORATIVE: view.collaborative, POPULAR: view.popular}
        return [
            content or SpaceState(CONTENT, "empty", 0),
            *(_state(name, space.upload, view) if space else SpaceState(name, "empty", 0) for name, space in uploads.items()),
        ]

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises FingerprintMismatch unless the content space has this fingerprint, or none yet."""
        if self.identity and self.identity.fingerprint != fingerprint:
            raise FingerprintMismatch(
                f"The embeddings have the fingerprint {fingerprint!r}, the content space has {self.identity.fingerprint!r}; "
                "embed with the encoder that made the space, or build a new one in an empty state_dir."
            )

    def check(self) -> None:
        """Searches for the vector of one item; raises IndexNotLoaded when that does not find it."""
        view = self.view
        if (row := next(iter(view.row_of.values()), None)) is None:
            return
        segment = view.shelf.segment
        scores, _ = segment.nearest(segment.take(np.array([row])), 1, view.live)
        if not scores[0, 0] > 1 - UNIT_TOLERANCE:
            raise IndexNotLoaded(f"The nearest vector to that of row {row} has the cosine {scores[0, 0]}; restart to rebuild the index.")

    def _load(self) -> tuple[Identity | None, View]:
        view = View.empty(self._lenders, self.catalogue.centre())
        items, embeddings = self.catalogue.all()
        if items:
            view = view.with_items(items, embeddings)
        for name, upload in self.catalogue.spaces().items():
            view = view.with_space(name, upload)
        return self.catalogue.identity(), view

    def _catch_up(self) -> None:
        """Begins anew from disk when the last change failed: how far it came, in memory and on a failing disk, is not known."""
        if not self._current:
            self.identity, self.view = self._load()
            self._current = True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._current = False
        yield
        self._current = True

    def _moved(self, view: View) -> Centre | None:
        """The centre of `view`, unless it is the one that is kept already."""
        return None if view.centred.centre is self.view.centred.centre else view.centred.centre


def unknown(name: str) -> ItemUnknown:
    """The error for an id that no item has."""
    return ItemUnknown(f"There is no item {name[:200]!r}; add it with POST /v1/items.")


def _units(items: Sequence[Item], embeddings: Sequence[Floats | Doubles], dimension: int) -> Floats:
    for item, embedding in zip(items, embeddings, strict=True):
        if len(embedding) != dimension:
            raise EmbeddingInvalid(
                f"The embedding of item {item.id!r} has {len(embedding)} numbers, the content space has {dimension}; "
                "embed all items with one encoder. Nothing was stored."
            )
    stacked = np.stack(embeddings).astype(np.float64)
    with np.errstate(over="ignore"):  # an infinite length is refused below
        lengths = np.sqrt(np.square(stacked).sum(axis=1))
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
    if len(wrong):
        raise EmbeddingInvalid(
            f"The embedding of item {items[wrong[0]].id!r} has the length {lengths[wrong[0]]:.6g}; "
            "send embeddings of length 1 (the encoder's are). Nothing was stored."
        )
    units: Floats = (stacked / lengths[:, np.newaxis]).astype(np.float32)
    return units


def _state(name: str, upload: Upload, view: View) -> SpaceState:
    missing = sum(known not in view.row_of for known in upload.ids)
    return SpaceState(name, upload.kind, upload.rows, missing, upload.dimension)
