"""Applies a writer's change to a replica's catalogue and view. Knows nothing of where the change came from.

Items and spaces are found by id and name; a space that was made anew under its old name is told by the generation that created it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from retriever.centre import NOWHERE, Centre
from retriever.changelog import Change, SpaceRow
from retriever.errors import Foreign
from retriever.identity import Identity, Meta
from retriever.items import Floats, Rows
from retriever.spaces import Upload
from retriever.transaction import Transaction
from retriever.vectorspace import VectorSpace
from retriever.view import View

Died = Callable[[Rows], None]
"""Is told the versions of vectors that were removed."""


class Replay:
    """One change on the way into one transaction; `view` is what it has come to."""

    def __init__(self, view: View, transaction: Transaction, change: Change, died: Died) -> None:
        self._transaction, self._change, self._died = transaction, change, died
        self._before, self._spaces = view, dict(view.spaces)
        self._attributes, self._count = view.attributes, view.count
        self._moved: dict[int, str] = {}

    def view(self) -> tuple[View, bool]:
        """The view after the change, to be shown once it is committed; True when its sources have to be made anew first.

        Raises Foreign when the change is not of this catalogue.
        """
        self._transaction.generation = self._change.generation
        self._change_spaces()
        self._delete(self._change.deleted)
        self._put_items()
        for name, (ids, embeddings) in self._change.vectors.items():
            self._put_vectors(self._named(name), ids, embeddings)
        uploads = {name: Upload.from_bytes(kind, arrays) for name, (kind, arrays) in self._change.uploads.items()}
        for name, upload in uploads.items():
            self._transaction.replace_space(name, upload)
        self._transaction.forget_news()
        return self._seen(uploads)

    def _seen(self, uploads: dict[str, Upload]) -> tuple[View, bool]:
        before = self._before
        content, previous = self._role(self._change.content), self._role(self._change.previous)
        self._transaction.give_roles(content, previous)
        meta = Meta(self._change.generation, content, previous)
        after = replace(before, attributes=self._attributes, spaces=self._spaces, count=self._count, meta=meta)
        after = replace(after, uploads={**before.uploads, **uploads})
        if content != before.meta.content:
            moments = after.content.moments if after.content else None
            centre = Centre(moments.total / moments.count, moments.count) if moments and moments.count else NOWHERE
            return replace(after, centre=centre, collaborative=None, popular=None), True
        moved = set(self._change.vectors.get(self._change.content or "", ((), None))[0])
        if moved or self._change.deleted:
            after = after.seen_anew([(number, name) for number, name in self._moved.items() if name in moved])
        return after, bool(uploads)

    def _change_spaces(self) -> None:
        wanted = {space.name: space for space in self._change.spaces}
        for number, space in list(self._spaces.items()):
            there = wanted.get(space.identity.name)
            if there is None or there.created != space.identity.created:
                self._transaction.drop_space(number, space.identity.name)
                del self._spaces[number]
        known = {space.identity.name for space in self._spaces.values()}
        for name, row in wanted.items():
            if name not in known:
                self._create(row)

    def _create(self, row: SpaceRow) -> None:
        number = self._transaction.create_space(row.name, row.fingerprint, row.dimension, row.kind, created=row.created)
        identity = Identity(number, row.name, row.fingerprint, row.dimension, row.kind, row.created)
        self._spaces[number] = VectorSpace.empty(identity, self._transaction.next_version())

    def _delete(self, ids: Sequence[str]) -> None:
        numbers = self._transaction.numbers(ids)
        there = [name for name, number in zip(ids, numbers.tolist(), strict=True) if number >= 0]
        numbers = numbers[numbers >= 0]
        for space, (gone, versions) in self._transaction.delete(numbers, there).items():
            self._died(versions)
            self._spaces[space] = self._spaces[space].without(gone, versions)
        self._attributes = self._attributes.remove(numbers.tolist())

    def _put_items(self) -> None:
        if not (items := [row.item() for row in self._change.items]):
            return
        numbers, new = self._transaction.put_items(items)
        self._before.names.write(numbers[new], [item.id for item, is_new in zip(items, new.tolist(), strict=True) if is_new])
        self._attributes = self._attributes.put(numbers.tolist(), [item.attributes for item in items])
        self._count = max(self._count, int(numbers.max()) + 1)

    def _put_vectors(self, space: VectorSpace, ids: Sequence[str], embeddings: Floats) -> None:
        numbers = self._transaction.numbers(ids)
        if (numbers < 0).any():
            raise Foreign(f"The change names the item {ids[int(np.argmin(numbers))]!r}, which is not here; it is of another catalogue.")
        kept = self._transaction.put_vectors(space.identity.space, numbers, embeddings)
        self._died(kept.replaced[1])
        written = kept.written
        space = space.without(*kept.replaced).put(numbers[written], kept.versions[written], embeddings[written])
        self._spaces[space.identity.space] = space
        self._moved |= dict(zip(numbers.tolist(), ids, strict=True))

    def _named(self, name: str) -> VectorSpace:
        return next(space for space in self._spaces.values() if space.identity.name == name)

    def _role(self, name: str | None) -> int | None:
        return None if name is None else self._named(name).identity.space
