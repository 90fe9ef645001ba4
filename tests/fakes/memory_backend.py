"""A backend of the retriever that keeps everything in dictionaries and compares with everything: what the real ones must agree with.

Knows nothing of FAISS and files. `filters.meets` decides on filters, so it is slow, and right by being simple.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from retriever.backends.protocol import CONTENT, FIRST_KIND, FIRST_SPACE, RESERVED, Ask, Hits, Patch, SpaceIdentity, SpaceState, Written
from retriever.backends.units import units
from retriever.errors import (
    EmbeddingInvalid,
    FingerprintMismatch,
    GenerationNotReached,
    ItemUnknown,
    SpaceExists,
    SpaceInUse,
    SpaceInvalid,
    SpaceUnknown,
    StorageFailed,
    VectorsMissing,
)
from retriever.filters import meets
from retriever.items import Floats, Item

KINDS = (FIRST_KIND, "ivf-sq8", "ivf-pq")


@dataclass
class _Space:
    name: str
    fingerprint: str
    dimension: int
    kind: str
    vectors: dict[str, Floats] = field(default_factory=dict)


class MemoryBackend:
    """State in dictionaries; see `retriever.backends.protocol.Backend` for what each method promises.

    Switches make it misbehave: `paused_at` holds `generation` back, as a replica that lags does; `slow` is called in each search and
    `before_put` in each put; `crowding` says whether it is crowded; after `fail_put_at` further puts the disk is full.
    """

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._spaces: dict[str, _Space] = {}
        self._content = self._previous = ""
        self._generation = 0
        self.paused_at: int | None = None
        self.slow: Any = None
        self.before_put: Any = None
        self.crowding: Any = None
        self.fail_put_at = 0
        self.merged: list[str] = []
        self.asked: list[Ask] = []

    @property
    def generation(self) -> int:
        return self._generation if self.paused_at is None else self.paused_at

    @property
    def crowded(self) -> bool:
        return bool(self.crowding and self.crowding())

    def reached(self, generation: int) -> bool:
        return self.generation >= generation

    def close(self) -> None:
        """Nothing is open."""

    def check(self) -> None:
        """It always answers."""

    def space(self, name: str = CONTENT) -> SpaceIdentity | None:
        if name == CONTENT and not self._content:
            return None
        found = self._find(name)
        return SpaceIdentity(found.name, found.fingerprint, found.dimension)

    def spaces(self) -> list[SpaceState]:
        return [self._state(self._spaces[name]) for name in sorted(self._spaces)]

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str) -> SpaceState:
        made = _Space(name, fingerprint, dimension, kind)
        if kind not in KINDS:
            raise SpaceInvalid(f"There is no kind {kind!r}; take one of {KINDS}.")
        if name in RESERVED:
            raise SpaceExists(f"{name!r} is reserved; choose another name.")
        if (there := self._spaces.get(name)) is not None:
            if replace(there, vectors={}) != made:
                raise SpaceExists(f"{name!r} is there with other values; choose another name.")
            return self._state(there)
        self._spaces[name] = made
        self._content = self._content or name
        self._generation += 1
        return self._state(made)

    def drop_space(self, name: str) -> None:
        found = self._find(name)
        if found.name == self._content:
            raise SpaceInUse(f"{found.name!r} has the role content; cut over first.")
        del self._spaces[found.name]
        self._generation += 1

    def cut_over(self, name: str, *, allow_missing: bool = False) -> int:
        found = self._find(name)
        if not allow_missing and len(found.vectors) < len(self._items):
            raise VectorsMissing(f"{len(self._items) - len(found.vectors)} items have no vector in {name!r}; send them first.")
        if found.name != self._content:
            self._previous, self._content = self._content, found.name
            self._generation += 1
        return self._generation

    def merge(self, name: str) -> None:
        self.merged.append(self._find(name).name)

    def check_fingerprint(self, fingerprint: str) -> None:
        if self._spaces and all(space.fingerprint != fingerprint for space in self._spaces.values()):
            raise FingerprintMismatch(f"Sent was {fingerprint!r}, the content space has {self._find(CONTENT).fingerprint!r}.")

    def put(self, fingerprint: str, items: Sequence[Item], embeddings: Floats) -> Written:
        if self.before_put is not None:
            self.before_put()
        self.fail_put_at -= 1
        if self.fail_put_at == 0:
            raise StorageFailed("The catalogue could not be written (the disk is full).")
        self.check_fingerprint(fingerprint)
        if not self._spaces:
            self.create_space(FIRST_SPACE, fingerprint, embeddings.shape[1], FIRST_KIND)
        filled = [space for space in self._spaces.values() if space.fingerprint == fingerprint]
        embeddings = units([item.id for item in items], embeddings, filled[0].dimension)
        last = {item.id: (item, vector) for item, vector in zip(items, embeddings, strict=True)}
        created = len(last.keys() - self._items.keys())
        for name, (item, vector) in last.items():
            self._items[name] = item
            for space in filled:
                space.vectors[name] = vector
        self._generation += 1
        return Written(self._generation, created, len(last) - created, len(items) - len(last))

    def put_vectors(self, space: str, fingerprint: str, ids: Sequence[str], embeddings: Floats) -> Written:
        found = self._find(space)
        if found.fingerprint != fingerprint:
            raise FingerprintMismatch(f"Sent was {fingerprint!r}, {found.name!r} has {found.fingerprint!r}.")
        for name in ids:
            self._known(name)
        embeddings = units(ids, embeddings, found.dimension)
        last = dict(zip(ids, embeddings, strict=True))
        created = len(last.keys() - found.vectors.keys())
        found.vectors |= last
        self._generation += 1
        return Written(self._generation, created, len(last) - created, len(ids) - len(last))

    def patch(self, patches: Sequence[Patch]) -> Written:
        changed = dict(self._items)
        for patch in patches:
            self._known(patch.id)
            item = changed[patch.id]
            merged = {**({} if patch.clear_attributes else item.attributes), **patch.attributes}
            kept = {name: value for name, value in merged.items() if value is not None}
            text = None if patch.drop_text else item.text if patch.text is None else patch.text
            changed[patch.id] = Item(item.id, item.title if patch.title is None else patch.title, kept, text)
        self._items = changed
        self._generation += 1
        return Written(self._generation, changed=len({patch.id for patch in patches}))

    def delete(self, ids: Sequence[str]) -> Written:
        known = [name for name in dict.fromkeys(ids) if name in self._items]
        for name in known:
            del self._items[name]
            for space in self._spaces.values():
                space.vectors.pop(name, None)
        self._generation += 1
        return Written(self._generation, changed=len(known), unknown=tuple(name for name in dict.fromkeys(ids) if name not in known))

    def __len__(self) -> int:
        return len(self._items)

    def item(self, name: str) -> Item | None:
        return self._items.get(name)

    def items(self, ids: Sequence[str]) -> dict[str, Item]:
        return {name: replace(self._items[name], text=None) for name in ids if name in self._items}

    def after(self, name: str, limit: int) -> list[Item]:
        return [self._items[one] for one in sorted(one for one in self._items if one > name)[:limit]]

    def vectors(self, space: str, ids: Sequence[str]) -> Floats:
        found = self._find(space)
        nothing = np.full(found.dimension, np.nan, np.float32)
        return np.array([found.vectors.get(name, nothing) for name in ids], np.float32).reshape(len(ids), found.dimension)

    def search(self, ask: Ask) -> Hits:
        self.asked.append(ask)
        if self.slow is not None:
            self.slow()
        if ask.deadline:
            ask.deadline()
        if self.generation < ask.min_generation:
            raise GenerationNotReached(ask.min_generation, self.generation)
        if ask.space == CONTENT and not self._content:
            return Hits([[]] * len(ask.queries), [np.empty(0, np.float32)] * len(ask.queries), self.generation)
        space, left_out = self._find(ask.space), set(ask.exclude)
        if ask.queries.shape[1] != space.dimension:
            raise EmbeddingInvalid(f"The queries have {ask.queries.shape[1]} numbers, {space.name!r} has {space.dimension}.")
        allowed = [
            name
            for name in sorted(space.vectors)
            if name not in left_out and (ask.filter is None or meets(ask.filter, name, self._items[name].attributes))
        ]
        cosines: Floats = ask.queries @ self.vectors(space.name, allowed).T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : ask.n]
        ids = [[allowed[place] for place in row] for row in best]
        plan = [{"path": "exact", "allowed": len(allowed), "n": ask.n}]
        return Hits(ids, [row[places] for row, places in zip(cosines, best, strict=True)], self.generation, plan)

    def _find(self, name: str) -> _Space:
        real = self._content if name == CONTENT else name
        if real not in self._spaces:
            raise SpaceUnknown(f"There is no vector space {name!r}; make it with POST /v1/spaces.")
        return self._spaces[real]

    def _known(self, name: str) -> None:
        if name not in self._items:
            raise ItemUnknown(f"There is no item {name!r}; add it with PUT /v1/items.")

    def _state(self, space: _Space) -> SpaceState:
        rows = len(space.vectors)
        return SpaceState(
            space.name,
            space.fingerprint,
            space.dimension,
            space.kind,
            rows,
            len(self._items) - rows,
            space.name == self._content,
            space.name == self._previous,
        )
