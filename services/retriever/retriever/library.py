"""Keeps the catalogue on disk and its view in memory together. Knows nothing of threads, HTTP and questions.

Writing methods are to be called from one thread. Each prepares the next view inside the transaction, commits and only then shows the view:
nobody is told or sees what a kill could take back, and what was refused is not stored. After a failure the view is the one before; when
the catalogue turns out to be further than it (the commit was done and then something failed), it is loaded anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from retriever import loading
from retriever.backends.protocol import (
    CONTENT,
    FIRST_KIND,
    FIRST_SPACE,
    RESERVED,
    Ask,
    Hits,
    Patch,
    SpaceIdentity,
    SpaceState,
    Written,
)
from retriever.backends.units import units as units_of
from retriever.catalogue import Catalogue
from retriever.changelog import Change
from retriever.errors import (
    EmbeddingInvalid,
    FingerprintMismatch,
    GenerationNotReached,
    IndexNotLoaded,
    ItemUnknown,
    ReadOnly,
    SpaceExists,
    SpaceInUse,
    SpaceInvalid,
    SpaceUnknown,
    VectorsMissing,
)
from retriever.identity import Identity
from retriever.items import Floats, Item, Rows
from retriever.patching import patched
from retriever.replay import Replay
from retriever.segments.kinds import KINDS
from retriever.segments.store import SegmentStore
from retriever.spaces import COLLABORATIVE, POPULAR, Upload
from retriever.transaction import Kept, Transaction
from retriever.upkeep import Job, Seal, begun, next_job
from retriever.upload import MAX_DIMENSION
from retriever.uploaded import UploadState, state_of
from retriever.vectorspace import VectorSpace
from retriever.view import View

UNIT_TOLERANCE = 1e-3


class Library:
    """The items and spaces of one folder. `view` is replaced as a whole; take it once per request."""

    def __init__(self, path: Path, lenders: int, *, fsync: bool = True, kind: str = FIRST_KIND) -> None:
        self.catalogue, self._lenders, self._kind = Catalogue(path, fsync=fsync), lenders, kind
        self.store = SegmentStore(path.parent / "segments")
        self.merging: set[int] = set()
        self.follows: str | None = None
        """Where the writes come from when this is a read replica, which takes no others."""
        self.job: Job | None = None
        self._killed: list[Rows] = []
        try:
            self.view = loading.load(self.catalogue, self.store, lenders)
        except BaseException:
            self.close()
            raise
        self._current = True

    def close(self) -> None:
        self.catalogue.close()

    def __len__(self) -> int:
        return len(self.view)

    @property
    def generation(self) -> int:
        return self.view.generation

    @property
    def identity(self) -> Identity | None:
        """Of the content space; None before there is one."""
        return self.view.content.identity if self.view.content else None

    # writes

    def put(self, fingerprint: str, items: Sequence[Item], embeddings: Floats) -> Written:
        """See `backends.protocol.Backend.put`."""
        self._catch_up()
        self.check_fingerprint(fingerprint)
        items, embeddings, duplicates = _last_of_each(items, embeddings)
        dimension = self._dimension_of(fingerprint) or embeddings.shape[1]
        units = units_of([item.id for item in items], embeddings, dimension)
        with self._changing() as transaction:
            view = self.view
            if view.content is None:
                view = _with_space(view, transaction, FIRST_SPACE, fingerprint, dimension, self._kind)
            numbers, new = transaction.put_items(items)
            spaces = dict(view.spaces)
            for space in [space for space in spaces.values() if space.identity.fingerprint == fingerprint]:
                kept = transaction.put_vectors(space.identity.space, numbers, units)
                spaces[space.identity.space] = self._with_vectors(space, numbers, kept, units)
            attributes = view.attributes.put(numbers.tolist(), [item.attributes for item in items])
            count = max(view.count, int(numbers.max(initial=-1)) + 1)
            moved = [(number, item.id) for number, item in zip(numbers.tolist(), items, strict=True)]
            view = replace(view, attributes=attributes, spaces=spaces, count=count)
            self._show(transaction, view.seen_anew(moved))
        return Written(self.generation, int(new.sum()), int((~new).sum()), duplicates)

    def put_vectors(self, space: str, fingerprint: str, ids: Sequence[str], embeddings: Floats) -> Written:
        """See `backends.protocol.Backend.put_vectors`."""
        self._catch_up()
        found = self._space(space)
        _check_same(fingerprint, found.identity)
        last = {name: place for place, name in enumerate(ids)}
        names, places = list(last), list(last.values())
        numbers = self.catalogue.numbers(names)
        if (numbers < 0).any():
            raise unknown(names[int(np.flatnonzero(numbers < 0)[0])])
        units = units_of(names, embeddings[places], found.dimension)
        had = found.has(numbers)
        with self._changing() as transaction:
            kept = transaction.put_vectors(found.identity.space, numbers, units)
            spaces = {**self.view.spaces, found.identity.space: self._with_vectors(found, numbers, kept, units)}
            view = replace(self.view, spaces=spaces)
            moved = list(zip(numbers.tolist(), names, strict=True)) if found is self.view.content else []
            self._show(transaction, view.seen_anew(moved) if moved else view)
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
        numbers = self.catalogue.numbers(list(now))
        with self._changing() as transaction:
            transaction.patch(numbers, list(now.values()))
            attributes = self.view.attributes.put(numbers.tolist(), [item.attributes for item in now.values()])
            self._show(transaction, replace(self.view, attributes=attributes))
        return Written(self.generation, changed=len(now))

    def delete(self, ids: Sequence[str]) -> Written:
        """See `backends.protocol.Backend.delete`."""
        self._catch_up()
        names = list(dict.fromkeys(ids))
        numbers = self.catalogue.numbers(names)
        there = [name for name, number in zip(names, numbers.tolist(), strict=True) if number >= 0]
        missing = tuple(name for name, number in zip(names, numbers.tolist(), strict=True) if number < 0)
        numbers = numbers[numbers >= 0]
        with self._changing() as transaction:
            view = self.view
            spaces = dict(view.spaces)
            for space, (gone, versions) in transaction.delete(numbers, there).items():
                spaces[space] = self._without(spaces[space], gone, versions)
            view = replace(view, attributes=view.attributes.remove(numbers.tolist()), spaces=spaces)
            self._show(transaction, view.seen_anew([]) if len(numbers) else view)
        return Written(self.generation, changed=len(there), unknown=missing)

    def replace_space(self, name: str, upload: Upload) -> UploadState:
        """Puts `upload` in the place of the whole uploaded space."""
        self._catch_up()
        with self._changing() as transaction:
            view = self.view.with_upload(name, upload)
            transaction.replace_space(name, upload)
            self._show(transaction, view)
        return state_of(name, upload, self.catalogue)

    def apply(self, change: Change) -> None:
        """Makes a read replica what its writer was at `change.generation`: all of it or nothing. Raises Foreign for another catalogue's."""
        self._catch_up(replaying=True)
        before = self.view.spaces.keys()
        with self._changing() as transaction:
            view, anew = Replay(self.view, transaction, change, self._killed.append).view()
            self._show(transaction, view)
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
        if kind not in KINDS:
            raise SpaceInvalid(f"There is no index kind {kind[:80]!r}; take one of {', '.join(KINDS)}.")
        if not 1 <= dimension <= MAX_DIMENSION:
            raise SpaceInvalid(f"A vector space can not have the dimension {dimension}; take 1 to {MAX_DIMENSION}.")
        if name in RESERVED:
            raise SpaceExists(f"{name!r} names a role or an uploaded space; choose another name.")
        for there in self.view.spaces.values():
            if there.identity.name == name:
                was = there.identity
                if (was.fingerprint, was.dimension, was.kind) != (fingerprint, dimension, kind):
                    raise SpaceExists(
                        f"The space {name!r} has fingerprint {was.fingerprint!r}, dimension {was.dimension} and kind {was.kind!r}; "
                        "choose another name, or drop that one first."
                    )
                return self._state(there)
        if (encoded := self._dimension_of(fingerprint)) not in (None, dimension):
            raise SpaceInvalid(
                f"There are vectors of the fingerprint {fingerprint!r} already, with the dimension {encoded} and not {dimension}; "
                "correct the dimension, or give another encoder another fingerprint."
            )
        with self._changing() as transaction:
            self._show(transaction, _with_space(self.view, transaction, name, fingerprint, dimension, kind))
        return self._state(self._space(name))

    def drop_space(self, name: str) -> None:
        """See `backends.protocol.Backend.drop_space`."""
        self._catch_up()
        space = self._space(name)
        if space is self.view.content:
            raise SpaceInUse(f"The space {space.identity.name!r} plays the role content; cut over to another one first.")
        with self._changing() as transaction:
            transaction.drop_space(space.identity.space, space.identity.name)
            spaces = {number: other for number, other in self.view.spaces.items() if other is not space}
            meta = self.view.meta
            previous = None if meta.previous == space.identity.space else meta.previous
            self._show(transaction, replace(self.view, spaces=spaces, meta=replace(meta, previous=previous)))
        self.store.forget(space.identity.space)

    def cut_over(self, name: str, *, allow_missing: bool = False) -> int:
        """See `backends.protocol.Backend.cut_over`."""
        self._catch_up()
        space = self._space(name)
        missing = len(self.view) - len(space)
        if missing and not allow_missing:
            raise VectorsMissing(
                f"{missing} of {len(self.view)} items have no vector in {space.identity.name!r} and would not be found; "
                f'send them with PUT /v1/spaces/{space.identity.name}/vectors, or cut over with "allow_missing": true.'
            )
        if space is self.view.content:
            return self.generation
        with self._changing() as transaction:
            transaction.cut_over(space.identity.space, space.identity.name)
            meta = replace(self.view.meta, content=space.identity.space, previous=self.view.meta.content)
            view = replace(self.view, meta=meta).with_content_anew()
            transaction.keep_centre(view.centre)
            self._show(transaction, view)
        return self.generation

    def merge(self, name: str) -> None:
        """See `backends.protocol.Backend.merge`; the work is done by whoever runs the jobs."""
        self.merging.add(self._space(name).identity.space)

    def spaces(self) -> list[SpaceState]:
        """All vector spaces by name."""
        return sorted((self._state(space) for space in self.view.spaces.values()), key=lambda state: state.name)

    def uploads(self) -> list[UploadState]:
        """The uploaded spaces."""
        view = self.view
        return [state_of(name, view.uploads.get(name), self.catalogue) for name in (COLLABORATIVE, POPULAR)]

    def space(self, name: str = CONTENT) -> SpaceIdentity | None:
        """See `backends.protocol.Backend.space`."""
        if name == CONTENT and self.view.content is None:
            return None
        identity = self._space(name).identity
        return SpaceIdentity(identity.name, identity.fingerprint, identity.dimension)

    def _space(self, name: str, view: View | None = None) -> VectorSpace:
        """The vector space that is called so or plays the role; raises SpaceUnknown."""
        view = view or self.view
        if name == CONTENT and view.content is not None:
            return view.content
        for space in view.spaces.values():
            if space.identity.name == name:
                return space
        known = ", ".join(sorted(space.identity.name for space in view.spaces.values())) or "none yet"
        raise SpaceUnknown(f"There is no vector space {name[:80]!r} (there are: {known}); create it with POST /v1/spaces.")

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises FingerprintMismatch unless a space has this fingerprint, or there is no space yet."""
        if (content := self.view.content) is not None and self._dimension_of(fingerprint) is None:
            _check_same(fingerprint, content.identity)

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
        return self._space(space).take(self.catalogue.numbers(ids))

    def search(self, ask: Ask) -> Hits:
        """See `backends.protocol.Backend.search`."""
        view = self.view
        if view.generation < ask.min_generation:
            raise GenerationNotReached(ask.min_generation, view.generation)
        if view.content is None and ask.space == CONTENT:
            return Hits([[]] * len(ask.queries), [np.empty(0, np.float32)] * len(ask.queries), view.generation)
        space = self._space(ask.space, view)
        if ask.queries.shape[1] != space.dimension:
            raise EmbeddingInvalid(
                f"The queries have {ask.queries.shape[1]} numbers, the space {space.identity.name!r} has {space.dimension}; "
                "embed them with the encoder that embedded the items."
            )
        excluded = self.catalogue.numbers(list(ask.exclude)) if ask.exclude else np.empty(0, np.int64)
        allowed = view.narrowed(ask.filter, excluded[excluded >= 0])
        found = space.search(ask.queries, ask.n, allowed, effort=ask.effort, exact=ask.exact, deadline=ask.deadline)
        id_of = self.catalogue.ids_at(np.unique(found.numbers).tolist())
        ids, scores = [], []
        for numbers, similarities in zip(found.numbers, found.scores, strict=True):
            there = [(id_of[number], at) for at, number in enumerate(numbers.tolist()) if number in id_of]
            ids.append([name for name, _ in there])
            scores.append(similarities[[at for _, at in there]])
        return Hits(ids, scores, view.generation, [asdict(part) for part in found.plan])

    def check(self) -> None:
        """Searches for the vector of one item; raises IndexNotLoaded when that does not find it."""
        view = self.view
        if view.content is None or not len(view.content):
            return
        row = int(view.living.numbers.min())
        found = view.content.search(view.content.take(np.array([row])), 1, None)
        if not found.scores.size or not found.scores[0, 0] > 1 - UNIT_TOLERANCE:
            raise IndexNotLoaded(f"The nearest vector to that of item number {row} is not near; restart to rebuild the index.")

    # the index, which jobs build aside

    def begin_job(self) -> Job | None:
        """What is most due, begun: what it shall seal takes no more vectors. None when nothing is due or a job is running."""
        if self.job is None and (job := next_job(self.view, frozenset(self.merging))) is not None:
            self.job, self.view, self._killed = job, begun(self.view, job), []
        elif self.job is None:
            self.merging.clear()
            return None
        else:
            return None
        return self.job

    def end_job(self, job: Job, built: dict[str, Any] | None, opened: Any = None) -> None:
        """Puts what was built in its place; None when the building failed, and then all stays as it is.

        `opened` is what `job.opened` gave in another thread, so that no write waits while large files are hashed.
        """
        if self.job is not job:  # loaded anew meanwhile
            if built is not None:
                self.store.discard(job.files(built))
            return
        killed = np.concatenate([np.empty(0, np.int64), *self._killed])
        self.job, self._killed = None, []
        if built is not None:
            try:
                opened = opened or job.opened(self.store.folder, built)
                self.view = job.installed(self.view, self.store, built, opened, killed)
            finally:
                self.store.discard(job.files(built))
            if isinstance(job, Seal) and job.whole:
                self.merging.discard(job.identity.space)

    def _with_vectors(self, space: VectorSpace, numbers: Rows, kept: Kept, units: Floats) -> VectorSpace:
        space = self._without(space, *kept.replaced)
        if not kept.written.any():
            return space
        return space.put(numbers[kept.written], kept.versions[kept.written], units[kept.written])

    def _without(self, space: VectorSpace, numbers: Rows, versions: Rows) -> VectorSpace:
        if self.job is not None:
            self._killed.append(versions)
        return space.without(numbers, versions)

    def _dimension_of(self, fingerprint: str) -> int | None:
        found = [space.dimension for space in self.view.spaces.values() if space.identity.fingerprint == fingerprint]
        return found[0] if found else None

    def _state(self, space: VectorSpace) -> SpaceState:
        view, identity = self.view, space.identity
        return SpaceState(
            identity.name,
            identity.fingerprint,
            identity.dimension,
            identity.kind,
            rows=len(space),
            missing=len(view) - len(space),
            content=identity.space == view.meta.content,
            previous=identity.space == view.meta.previous,
            segments=len(space.closed),
            unsealed=space.unsealed,
            dead=space.dead,
        )

    def _show(self, transaction: Transaction, view: View) -> None:
        """The view that is to be seen once the transaction is committed."""
        if view.centre is not self.view.centre:
            transaction.keep_centre(view.centre)
        self._next = replace(view, meta=replace(view.meta, generation=transaction.generation))

    @contextmanager
    def _changing(self) -> Iterator[Transaction]:
        self._current, killed = False, len(self._killed)
        try:
            with self.catalogue.writing() as transaction:
                yield transaction
        except BaseException:
            del self._killed[killed:]
            raise
        self.view, self._current = self._next, True

    def _catch_up(self, *, replaying: bool = False) -> None:
        """After a change that failed: loads the catalogue anew when it is further than the view. Raises ReadOnly in a read replica."""
        if self.follows and not replaying:
            raise ReadOnly(f"This is a read replica of {self.follows}; send writes to the retriever that publishes there.")
        if not self._current:
            if self.catalogue.meta().generation != self.view.generation:
                self.job, self.view = None, loading.load(self.catalogue, self.store, self._lenders)
            self._current = True


def unknown(name: str) -> ItemUnknown:
    """The error for an id that no item has."""
    return ItemUnknown(f"There is no item {name[:200]!r}; add it with PUT /v1/items.")


def _with_space(view: View, transaction: Transaction, name: str, fingerprint: str, dimension: int, kind: str) -> View:
    """With a new empty vector space, which gets the role when there is none yet."""
    space = transaction.create_space(name, fingerprint, dimension, kind)
    identity = Identity(space, name, fingerprint, dimension, kind, transaction.generation)
    spaces: Mapping[int, VectorSpace] = {**view.spaces, space: VectorSpace.empty(identity, transaction.next_version())}
    if view.meta.content is not None:
        return replace(view, spaces=spaces)
    transaction.cut_over(space, name)
    return replace(view, spaces=spaces, meta=replace(view.meta, content=space)).with_content_anew()


def _check_same(fingerprint: str, identity: Identity) -> None:
    if identity.fingerprint != fingerprint:
        raise FingerprintMismatch(
            f"The embeddings have the fingerprint {fingerprint!r}, the space {identity.name!r} has {identity.fingerprint!r}; "
            "embed with the encoder that made the space, or fill a second space (POST /v1/spaces) and cut over to it."
        )


def _last_of_each(items: Sequence[Item], embeddings: Floats) -> tuple[list[Item], Floats, int]:
    """Of an id that comes several times the last item and embedding, and how many were dropped."""
    last = {item.id: place for place, item in enumerate(items)}
    if len(last) == len(items):
        return list(items), embeddings, 0
    places = list(last.values())
    return [items[place] for place in places], embeddings[places], len(items) - len(places)
