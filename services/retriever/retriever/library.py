"""Keeps the catalogue on disk and its view in memory together. Knows nothing of threads, HTTP and questions.

Writing methods are to be called from one thread. Each prepares the next view inside the transaction, commits and only then shows the view:
nobody is told or sees what a kill could take back, and what was refused is not stored. After a failure the view is the one before; when
the catalogue turns out to be further than it (the commit was done and then something failed), it is loaded anew.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from retriever import loading
from retriever.answering import answer, check, state
from retriever.backends.protocol import (
    CONTENT,
    FIRST_KIND,
    FIRST_SPACE,
    Ask,
    Hits,
    Patch,
    SpaceIdentity,
    SpaceState,
    Written,
)
from retriever.backends.units import units as units_of
from retriever.catalogue import Catalogue, damaged
from retriever.changelog import Change
from retriever.errors import (
    ItemUnknown,
    ReadOnly,
    SpaceInUse,
    StorageFailed,
    VectorsMissing,
)
from retriever.indexed import Indexed
from retriever.items import Floats, Item
from retriever.patching import patched
from retriever.replay import Replay
from retriever.retrieval import Answer, Question, retrieve
from retriever.segments.store import SegmentStore
from retriever.spaces import COLLABORATIVE, POPULAR, Upload
from retriever.uploaded import UploadState, state_of
from retriever.view import View, check_same
from retriever.writes import Writing, existing, first_unknown, last_of_each, named


class Library(Indexed):
    """The items and spaces of one folder. `view` is replaced as a whole; take it once per request."""

    def __init__(self, path: Path, lenders: int, *, fsync: bool = True, kind: str = FIRST_KIND) -> None:
        super().__init__(Catalogue(path, fsync=fsync), SegmentStore(path.parent / "segments"))
        self._lenders, self._kind = lenders, kind
        self._damage: StorageFailed | None = None
        self.follows: str | None = None
        """Where the writes come from when this is a read replica, which takes no others."""
        self._next: View | None = None
        try:
            self.view = loading.load(self.catalogue, self.store, lenders)
        except BaseException as error:
            self.close()
            if isinstance(error, (ValueError, LookupError, TypeError, AttributeError)):  # as arrays of what can not be in the tables raise
                raise damaged(f"{type(error).__name__}: {error}") from error
            raise
        self.merging.update(self.catalogue.merging())
        self._current = True

    def close(self) -> None:
        self.catalogue.close()

    def __len__(self) -> int:
        return len(self.view)

    @property
    def generation(self) -> int:
        return self.view.generation

    def reached(self, generation: int) -> bool:
        """See `backends.protocol.Backend.reached`."""
        return self.generation >= generation

    # writes

    def put(self, fingerprint: str, items: Sequence[Item], embeddings: Floats) -> Written:
        """See `backends.protocol.Backend.put`."""
        self._catch_up()
        self.check_fingerprint(fingerprint)
        items, embeddings, duplicates = last_of_each(items, embeddings)
        dimension = self.view.dimension_of(fingerprint) or embeddings.shape[1]
        units = units_of([item.id for item in items], embeddings, dimension)
        with self._changing() as writing:
            if self.view.content is None:
                writing = replace(writing, view=writing.create_space(FIRST_SPACE, fingerprint, dimension, self._kind))
            view, new = writing.put(fingerprint, items, units)
            self._show(writing, view)
        self.poured += len(items)
        return Written(self.generation, int(new.sum()), int((~new).sum()), duplicates)

    def put_vectors(self, space: str, fingerprint: str, ids: Sequence[str], embeddings: Floats) -> Written:
        """See `backends.protocol.Backend.put_vectors`."""
        self._catch_up()
        found = self.view.named(space)
        check_same(fingerprint, found.identity)
        last = {name: place for place, name in enumerate(ids)}
        names, places = list(last), list(last.values())
        numbers = self.catalogue.numbers(names)
        if (missing := first_unknown(numbers, names)) is not None:
            raise unknown(missing)
        units = units_of(names, embeddings[places], found.dimension)
        had = found.has(numbers)
        with self._changing() as writing:
            self._show(writing, writing.put_vectors(found, numbers, names, units))
        self.poured += len(names)
        return Written(self.generation, int((~had).sum()), int(had.sum()), len(ids) - len(names))

    def patch(self, patches: Sequence[Patch]) -> Written:
        """See `backends.protocol.Backend.patch`."""
        self._catch_up()
        now: dict[str, Item] = {}
        for patch in patches:
            before = now.get(patch.id) or self.catalogue.item(patch.id)
            if before is None:
                raise unknown(patch.id)
            now[patch.id] = patched(before, patch)
        with self._changing() as writing:
            self._show(writing, writing.patch(self.catalogue.numbers(list(now)), list(now.values())))
        return Written(self.generation, changed=len(now))

    def delete(self, ids: Sequence[str]) -> Written:
        """See `backends.protocol.Backend.delete`."""
        self._catch_up()
        names = list(dict.fromkeys(ids))
        numbers, there, missing = named(self.catalogue.numbers(names), names)
        with self._changing() as writing:
            self._show(writing, writing.delete(numbers, there))
        return Written(self.generation, changed=len(there), unknown=tuple(missing))

    def replace_space(self, name: str, upload: Upload) -> UploadState:
        """Puts `upload` in the place of the whole uploaded space."""
        self._catch_up()
        with self._changing() as writing:
            view = self.view.with_upload(name, upload)
            writing.transaction.replace_space(name, upload)
            self._show(writing, view)
        return state_of(name, upload, self.catalogue)

    def apply(self, change: Change) -> None:
        """Makes a read replica what its writer was at `change.generation`: all of it or nothing. Raises Foreign for another catalogue's."""
        self._catch_up(replaying=True)
        before = self.view.spaces.keys()
        with self._changing() as writing:
            view, anew = Replay(self.view, writing.transaction, change, self._killed.append).view()
            self._show(writing, view)
        for dropped in before - self.view.spaces.keys():
            self.store.forget(dropped)
        if anew:  # from what is committed now
            self._current = False
            self.view = self.view.with_sources()
            self._current = True

    # spaces

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str) -> SpaceState:
        """See `backends.protocol.Backend.create_space`."""
        self._catch_up()
        if (there := existing(self.view, name, fingerprint, dimension, kind)) is not None:
            return state(self.view, there)
        with self._changing() as writing:
            self._show(writing, writing.create_space(name, fingerprint, dimension, kind))
        return state(self.view, self.view.named(name))

    def drop_space(self, name: str) -> None:
        """See `backends.protocol.Backend.drop_space`."""
        self._catch_up()
        space = self.view.named(name)
        if space is self.view.content:
            raise SpaceInUse(f"The space {space.identity.name!r} plays the role content; cut over to another one first.")
        with self._changing() as writing:
            self._show(writing, writing.drop_space(space))
        self.store.forget(space.identity.space)

    def cut_over(self, name: str, *, allow_missing: bool = False) -> int:
        """See `backends.protocol.Backend.cut_over`."""
        self._catch_up()
        space = self.view.named(name)
        missing = len(self.view) - len(space)
        if missing and not allow_missing:
            raise VectorsMissing(
                f"{missing} of {len(self.view)} items have no vector in {space.identity.name!r} and would not be found; "
                f'send them with PUT /v1/spaces/{space.identity.name}/vectors, or cut over with "allow_missing": true.'
            )
        if space is self.view.content:
            return self.generation
        with self._changing() as writing:
            self._show(writing, writing.cut_over(space))
        return self.generation

    def spaces(self) -> list[SpaceState]:
        """All vector spaces by name."""
        return sorted((state(self.view, space) for space in self.view.spaces.values()), key=lambda one: one.name)

    def uploads(self) -> list[UploadState]:
        """The uploaded spaces."""
        view = self.view
        return [state_of(name, view.uploads.get(name), self.catalogue) for name in (COLLABORATIVE, POPULAR)]

    def space(self, name: str = CONTENT) -> SpaceIdentity | None:
        """See `backends.protocol.Backend.space`."""
        if name == CONTENT and self.view.content is None:
            return None
        identity = self.view.named(name).identity
        return SpaceIdentity(identity.name, identity.fingerprint, identity.dimension)

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises FingerprintMismatch unless a space has this fingerprint, or there is no space yet."""
        self.view.check_fingerprint(fingerprint)

    # reads

    def item(self, name: str) -> Item | None:
        return self.catalogue.item(name)

    def items(self, ids: Sequence[str]) -> dict[str, Item]:
        """Those of `ids` that are items, without their texts."""
        numbers = self.catalogue.numbers(ids)
        return {item.id: item for item in self.catalogue.at(numbers[numbers >= 0].tolist()).values()}

    def after(self, name: str, limit: int) -> list[Item]:
        return self.catalogue.after(name, limit)

    def vectors(self, space: str, ids: Sequence[str]) -> Floats:
        """`(len(ids), d)` as stored; NaN where there is none."""
        return self.view.named(space).take(self.catalogue.numbers(ids))

    def find(self, typed: str, offset: int, limit: int) -> list[Item]:
        """See `backends.protocol.Backend.find`."""
        return self.catalogue.find(typed, offset, limit)

    def retrieve(self, question: Question, proposals: int) -> Answer:
        """See `backends.protocol.Backend.retrieve`."""
        return retrieve(self.view, question, proposals)

    def search(self, ask: Ask) -> Hits:
        """See `backends.protocol.Backend.search`."""
        return answer(self.view, ask)

    def verify(self) -> None:
        """Reads all of the catalogue, which takes seconds; raises StorageFailed when it is damaged, and so does `check` from then on."""
        try:
            self.catalogue.verify()
        except StorageFailed as damage:
            self._damage = damage
            raise

    def check(self) -> None:
        """Searches for the vector of one item; raises IndexNotLoaded when that does not find it."""
        if self._damage is not None:
            raise self._damage
        check(self.view)

    def _show(self, writing: Writing, view: View) -> None:
        """The view that is to be seen once the transaction is committed."""
        if view.centre is not self.view.centre:
            writing.transaction.keep_centre(view.centre)
        self._next = replace(view, meta=replace(view.meta, generation=writing.transaction.generation))

    @contextmanager
    def _changing(self) -> Iterator[Writing]:
        self._current, killed = False, len(self._killed)
        try:
            with self.catalogue.writing() as transaction:
                yield Writing(self.view, transaction, self._killed.append)
        except BaseException:
            del self._killed[killed:]
            raise
        assert self._next is not None
        self.view, self._next, self._current = self._next, None, True  # kept on, it would hold memory that a merge has let go of

    def _catch_up(self, *, replaying: bool = False) -> None:
        """After a change that failed: loads the catalogue anew when it is further than the view. Raises ReadOnly in a read replica."""
        if self.follows and not replaying:
            raise ReadOnly(f"This is a read replica of {self.follows}; send writes to the retriever that publishes there.")
        if not self._current:
            if self.catalogue.meta().generation != self.view.generation:
                self.jobs, self.view = {}, loading.load(self.catalogue, self.store, self._lenders)
            self._current = True


def unknown(name: str) -> ItemUnknown:
    """The error for an id that no item has."""
    return ItemUnknown(f"There is no item {name[:200]!r}; add it with PUT /v1/items.")
