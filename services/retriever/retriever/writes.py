"""What a write makes of a view, inside its transaction. Knows nothing of when that is committed and shown.

Each function returns the next view; `died` is told the versions of vectors that are gone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retriever.backends.protocol import RESERVED
from retriever.errors import SpaceExists, SpaceInvalid
from retriever.identity import Identity
from retriever.items import Bools, Floats, Item, Rows
from retriever.segments.kinds import KINDS
from retriever.transaction import Kept, Transaction
from retriever.upload import MAX_DIMENSION
from retriever.vectorspace import VectorSpace
from retriever.view import View

Died = Callable[[Rows], None]


@dataclass(frozen=True)
class Writing:
    """One write: the view before it, its transaction, and who is told of vectors that died."""

    view: View
    transaction: Transaction
    died: Died

    def put(self, fingerprint: str, items: Sequence[Item], units: Floats) -> tuple[View, Bools]:
        """With `items`, whose ids differ, and their vectors in every space of the fingerprint; and which of them are new `(items,)`."""
        numbers, new = self.transaction.put_items(items)
        spaces = dict(self.view.spaces)
        for space in [space for space in spaces.values() if space.identity.fingerprint == fingerprint]:
            spaces[space.identity.space] = self._with_vectors(space, numbers, units, new=bool(new.all()))
        self.view.names.write(numbers[new], [item.id for item, is_new in zip(items, new.tolist(), strict=True) if is_new])
        attributes = self.view.attributes.put(numbers.tolist(), [item.attributes for item in items])
        count = max(self.view.count, int(numbers.max(initial=-1)) + 1)
        moved = [(number, item.id) for number, item in zip(numbers.tolist(), items, strict=True)]
        return replace(self.view, attributes=attributes, spaces=spaces, count=count).seen_anew(moved), new

    def put_vectors(self, space: VectorSpace, numbers: Rows, ids: Sequence[str], units: Floats) -> View:
        """With the vectors `units` of the items `numbers`, which differ, in one space."""
        spaces = {**self.view.spaces, space.identity.space: self._with_vectors(space, numbers, units)}
        view = replace(self.view, spaces=spaces)
        return view.seen_anew(list(zip(numbers.tolist(), ids, strict=True))) if space is self.view.content else view

    def patch(self, numbers: Rows, items: Sequence[Item]) -> View:
        """With other titles, attributes and texts."""
        self.transaction.patch(numbers, items)
        return replace(self.view, attributes=self.view.attributes.put(numbers.tolist(), [item.attributes for item in items]))

    def delete(self, numbers: Rows, ids: Sequence[str]) -> View:
        """Without these items."""
        spaces = dict(self.view.spaces)
        for space, (gone, versions) in self.transaction.delete(numbers, ids).items():
            self.died(versions)
            spaces[space] = spaces[space].without(gone, versions)
        view = replace(self.view, attributes=self.view.attributes.remove(numbers.tolist()), spaces=spaces)
        return view.seen_anew([]) if len(numbers) else view

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str) -> View:
        """With a new empty vector space, which gets the role when there is none yet."""
        space = self.transaction.create_space(name, fingerprint, dimension, kind)
        identity = Identity(space, name, fingerprint, dimension, kind, self.transaction.generation)
        spaces: Mapping[int, VectorSpace] = {**self.view.spaces, space: VectorSpace.empty(identity, self.transaction.next_version())}
        if self.view.meta.content is not None:
            return replace(self.view, spaces=spaces)
        self.transaction.cut_over(space, name)
        return replace(self.view, spaces=spaces, meta=replace(self.view.meta, content=space)).with_content_anew()

    def drop_space(self, space: VectorSpace) -> View:
        """Without a vector space."""
        gone, meta = space.identity.space, self.view.meta
        self.transaction.drop_space(gone, space.identity.name)
        spaces = {number: other for number, other in self.view.spaces.items() if number != gone}
        return replace(self.view, spaces=spaces, meta=replace(meta, previous=None if meta.previous == gone else meta.previous))

    def cut_over(self, space: VectorSpace) -> View:
        """With the role `content` at another space."""
        self.transaction.cut_over(space.identity.space, space.identity.name)
        meta = replace(self.view.meta, content=space.identity.space, previous=self.view.meta.content)
        return replace(self.view, meta=meta).with_content_anew()

    def _with_vectors(self, space: VectorSpace, numbers: Rows, units: Floats, *, new: bool = False) -> VectorSpace:
        kept: Kept = self.transaction.put_vectors(space.identity.space, numbers, units, new=new)
        self.died(kept.replaced[1])
        space, written = space.without(*kept.replaced), kept.written
        return space.put(numbers[written], kept.versions[written], units[written]) if written.any() else space


def last_of_each(items: Sequence[Item], embeddings: Floats) -> tuple[list[Item], Floats, int]:
    """Of an id that comes several times the last item and embedding, in the order of its first; and how many were dropped."""
    last = {item.id: place for place, item in enumerate(items)}
    if len(last) == len(items):
        return list(items), embeddings, 0
    places = list(last.values())
    return [items[place] for place in places], embeddings[places], len(items) - len(places)


def named(numbers: Rows, ids: Sequence[str]) -> tuple[Rows, list[str], list[str]]:
    """The numbers that are there with their ids, and the ids that are not (number -1)."""
    there = numbers >= 0
    known = [name for name, known in zip(ids, there.tolist(), strict=True) if known]
    return numbers[there], known, [name for name, known in zip(ids, there.tolist(), strict=True) if not known]


def first_unknown(numbers: Rows, ids: Sequence[str]) -> str | None:
    """The first of `ids` without a number."""
    missing = np.flatnonzero(numbers < 0)
    return ids[int(missing[0])] if len(missing) else None


def existing(view: View, name: str, fingerprint: str, dimension: int, kind: str) -> VectorSpace | None:
    """The space that is there with just these values; None when it can be created. Raises SpaceExists or SpaceInvalid else."""
    if kind not in KINDS:
        raise SpaceInvalid(f"There is no index kind {kind[:80]!r}; take one of {', '.join(KINDS)}.")
    if not 1 <= dimension <= MAX_DIMENSION:
        raise SpaceInvalid(f"A vector space can not have the dimension {dimension}; take 1 to {MAX_DIMENSION}.")
    if name in RESERVED:
        raise SpaceExists(f"{name!r} names a role or an uploaded space; choose another name.")
    for there in view.spaces.values():
        if there.identity.name == name:
            was = there.identity
            if (was.fingerprint, was.dimension, was.kind) != (fingerprint, dimension, kind):
                raise SpaceExists(
                    f"The space {name!r} has fingerprint {was.fingerprint!r}, dimension {was.dimension} and kind {was.kind!r}; "
                    "choose another name, or drop that one first."
                )
            return there
    if (encoded := view.dimension_of(fingerprint)) not in (None, dimension):
        raise SpaceInvalid(
            f"There are vectors of the fingerprint {fingerprint!r} already, with the dimension {encoded} and not {dimension}; "
            "correct the dimension, or give another encoder another fingerprint."
        )
    return None
