"""The retriever's items and spaces in Milvus. Knows nothing of HTTP, and keeps nothing that Milvus has not.

Payloads are in the collection `items`; each vector space is a collection of its own, whose rows carry what filters look at beside the
vector. Milvus has no transaction over collections, so the order of steps makes each write safe to cut off: payloads are stored before
vectors and removed after them, the generation is raised last. A write that raised StorageFailed may be there in part; sent again, it is
whole. One process writes, any number read; what one of them was told is stored, all find in the next search.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from retriever.backends.milvus.expressions import all_of, expression_of, id_after, id_in, id_not_in
from retriever.backends.milvus.nearest import nearest
from retriever.backends.milvus.registry import Registry, Space
from retriever.backends.milvus.rows import BRIEF, ITEM_FIELDS, NOWHERE, PAYLOAD, filterable, item_of, last_of, payload
from retriever.backends.milvus.sample import SAMPLED, Samples
from retriever.backends.milvus.server import KINDS, Row, Server, batches
from retriever.backends.milvus.stock import IDS_AT_ONCE, MilvusStock
from retriever.backends.milvus.typed import find as typed_ones
from retriever.backends.milvus.uploads import Heard, Uploads
from retriever.backends.protocol import CONTENT, FIRST_KIND, FIRST_SPACE, RESERVED, Ask, Hits, Patch, SpaceIdentity, SpaceState, Written
from retriever.backends.units import units
from retriever.errors import (
    EmbeddingInvalid,
    FingerprintMismatch,
    GenerationNotReached,
    IndexNotLoaded,
    ItemUnknown,
    SpaceExists,
    SpaceInUse,
    SpaceInvalid,
    VectorsMissing,
)
from retriever.items import Floats, Item
from retriever.loans import LENDERS
from retriever.patching import patched
from retriever.retrieval import Answer, Question, retrieve
from retriever.spaces import POPULAR, TAKES, Upload
from retriever.uploaded import UploadState


class Milvus:
    """A `Backend` over a Milvus server at `http(s)://[user:password@]host:port`, or over an embedded milvus-lite file.

    An embedded one can be opened by one process at a time. Stores of different `prefix` share a server without seeing each other. `kind`
    is that of the first vector space; `lenders` items stand in for one without interactions; at most `sampled` vectors are the sample
    by which sources are standardised.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "warmstart",
        timeout_s: float = 30.0,
        *,
        kind: str = FIRST_KIND,
        lenders: int = LENDERS,
        sampled: int = SAMPLED,
    ) -> None:
        if kind not in KINDS:
            raise SpaceInvalid(f"There is no kind {kind!r} on Milvus; take one of {', '.join(KINDS)}.")
        self._server, self._kind, self._lenders = Server(url, prefix, timeout_s), kind, lenders
        try:
            self._items = self._server.named("items")
            self._server.ready(self._items, ITEM_FIELDS, len(NOWHERE), "flat")
            self._registry = Registry(self._server)
            self._uploads, self._samples = Uploads(self._server, self._registry), Samples(self._server, sampled)
        except BaseException:
            self.close()
            raise

    @property
    def generation(self) -> int:
        return self._registry.known.generation

    @property
    def crowded(self) -> bool:
        """Milvus slows writers down itself."""
        return False

    def reached(self, generation: int) -> bool:
        return self.generation >= generation or self._registry.current().generation >= generation

    def close(self) -> None:
        self._server.close()

    def check(self) -> None:
        content = self._registry.look().content
        page = next(self._server.pages(content.collection, "", ["vector"], 1), []) if content else []
        for row in page:
            if not self._server.search(self._registry.alias, [row["vector"]], 1, "", {})[0]:
                raise IndexNotLoaded(f"Milvus finds nothing near the vector of item {row['id']!r}; load the collection in Milvus.")

    # spaces

    def space(self, name: str = CONTENT) -> SpaceIdentity | None:
        found = self._registry.find(name)
        return SpaceIdentity(found.name, found.fingerprint, found.dimension) if found else None

    def spaces(self) -> list[SpaceState]:
        return [self._state(space) for space in self._registry.look().spaces.values()]

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str) -> SpaceState:
        if name in RESERVED:
            raise SpaceExists(f"The name {name!r} is reserved; take another one for the space.")
        there = self._registry.look().spaces.get(name)
        if there and (there.fingerprint, there.dimension, there.kind) != (fingerprint, dimension, kind):
            raise SpaceExists(
                f"There is a space {name!r} with fingerprint {there.fingerprint!r}, {there.dimension} dimensions and kind {there.kind!r}; "
                "take another name, or drop that one first."
            )
        for other in self._registry.known.spaces.values():
            if other.fingerprint == fingerprint and other.dimension != dimension:
                raise SpaceInvalid(
                    f"The space {other.name!r} holds vectors of the fingerprint {fingerprint!r} in {other.dimension} dimensions, not "
                    f"{dimension}; correct the dimension, or give another encoder another fingerprint."
                )
        return self._state(there or self._registry.add(name, fingerprint, dimension, kind))

    def drop_space(self, name: str) -> None:
        known, space = self._registry.look(), self._registry.required(name)
        if space == known.content:
            raise SpaceInUse(f"The role {CONTENT!r} points at the space {space.name!r}; cut over to another one first.")
        self._registry.remove(space)

    def cut_over(self, name: str, *, allow_missing: bool = False) -> int:
        self._registry.look()
        space = self._registry.required(name)
        if (missing := len(self) - self._server.count(space.collection)) > 0 and not allow_missing:
            raise VectorsMissing(
                f"{missing} items have no vector in the space {space.name!r}; put their vectors there first, or allow that searches of "
                "content do not find them."
            )
        return self._registry.point(space)

    def merge(self, name: str) -> None:
        self._server.compact(self._registry.required(name).collection)

    def replace_space(self, name: str, upload: Upload) -> UploadState:
        self._registry.look()
        self._uploads.replace(name, upload)
        return self._state_of(name, self._uploads.heard().get(name))

    def uploads(self) -> list[UploadState]:
        self._registry.look()
        heard = self._uploads.heard()
        return [self._state_of(name, heard.get(name)) for name in TAKES]

    # writes

    def check_fingerprint(self, fingerprint: str) -> None:
        known = self._registry.look()
        if known.spaces and not any(space.fingerprint == fingerprint for space in known.spaces.values()):
            raise _mismatch(fingerprint, known.content)

    def put(self, fingerprint: str, items: Sequence[Item], embeddings: Floats) -> Written:
        self.check_fingerprint(fingerprint)
        ids, spaces = [item.id for item in items], self._registry.known.spaces.values()
        targets = [space for space in spaces if space.fingerprint == fingerprint]
        places = last_of(ids)
        vectors = units(ids, embeddings, targets[0].dimension if targets else embeddings.shape[1])[places]
        kept = [items[at] for at in places]
        payloads, facets = [payload(item) for item in kept], [filterable(item) for item in kept]
        if not targets:
            self.create_space(FIRST_SPACE, fingerprint, embeddings.shape[1], self._kind)
            targets = [self._registry.required(FIRST_SPACE)]
        known = self._server.get(self._items, [item.id for item in kept], [])
        self._server.upsert(self._items, payloads)
        for space in targets:
            self._server.upsert(space.collection, [facet | {"vector": vector} for facet, vector in zip(facets, vectors, strict=True)])
        self._refacet([space for space in spaces if space not in targets], [facet for facet in facets if facet["id"] in known])
        return Written(self._registry.risen(), len(kept) - len(known), len(known), len(items) - len(kept))

    def put_vectors(self, space: str, fingerprint: str, ids: Sequence[str], embeddings: Floats) -> Written:
        self._registry.look()
        target = self._registry.required(space)
        if target.fingerprint != fingerprint:
            raise _mismatch(fingerprint, target)
        places = last_of(ids)
        vectors, kept = units(ids, embeddings, target.dimension)[places], [ids[at] for at in places]
        items = self._known_items(kept, with_text=False)
        known = self._server.get(target.collection, kept, [])
        rows = [filterable(items[name]) | {"vector": vector} for name, vector in zip(kept, vectors, strict=True)]
        self._server.upsert(target.collection, rows)
        return Written(self._registry.risen(), len(kept) - len(known), len(known), len(ids) - len(kept))

    def patch(self, patches: Sequence[Patch]) -> Written:
        known = self._registry.look()
        items = self._known_items([patch.id for patch in patches], with_text=True)
        for patch in patches:
            items[patch.id] = patched(items[patch.id], patch)
        payloads, facets = [payload(item) for item in items.values()], [filterable(item) for item in items.values()]
        self._server.upsert(self._items, payloads)
        self._refacet(known.spaces.values(), facets)
        return Written(self._registry.risen(), changed=len(items))

    def delete(self, ids: Sequence[str]) -> Written:
        names, spaces = list(dict.fromkeys(ids)), self._registry.look().spaces.values()
        known = self._server.get(self._items, names, [])
        for space in spaces:
            self._server.delete(space.collection, names)
        self._server.delete(self._items, names)
        return Written(self._registry.risen(), changed=len(known), unknown=tuple(name for name in names if name not in known))

    # reads

    def __len__(self) -> int:
        return self._server.count(self._items)

    def item(self, name: str) -> Item | None:
        row = self._server.get(self._items, [name], PAYLOAD).get(name)
        return item_of(row, with_text=True) if row else None

    def items(self, ids: Sequence[str]) -> dict[str, Item]:
        rows = self._server.get(self._items, list(dict.fromkeys(ids)), BRIEF)
        return {name: item_of(row, with_text=False) for name, row in rows.items()}

    def after(self, name: str, limit: int) -> list[Item]:
        return [item_of(row, with_text=True) for row in next(self._server.pages(self._items, id_after(name), PAYLOAD, limit), [])]

    def vectors(self, space: str, ids: Sequence[str]) -> Floats:
        found = self._registry.required(space)
        taken: Floats = np.full((len(ids), found.dimension), np.nan, np.float32)
        rows = self._server.get(found.collection, list(dict.fromkeys(ids)), ["vector"])
        for at, name in enumerate(ids):
            if name in rows:
                taken[at] = rows[name]["vector"]
        return taken

    def search(self, ask: Ask) -> Hits:
        generation = self.generation
        if ask.min_generation > generation and ask.min_generation > (generation := self._registry.look().generation):
            raise GenerationNotReached(ask.min_generation, generation)
        space = self._registry.find(ask.space)
        if space is None:
            return Hits([[] for _ in ask.queries], [np.empty(0, np.float32) for _ in ask.queries], generation)
        if ask.queries.shape[1] != space.dimension:
            raise EmbeddingInvalid(
                f"The query has {ask.queries.shape[1]} numbers, the space {space.name!r} has {space.dimension}; "
                "embed it with the encoder that embedded the items."
            )
        outside = id_not_in(sorted(ask.exclude)) if ask.exclude else ""
        where = all_of([outside, expression_of(ask.filter) if ask.filter is not None else ""])
        return nearest(self._server, space.collection, space.kind, where, ask, generation)

    def find(self, typed: str, offset: int, limit: int) -> list[Item]:
        self._registry.current()
        popular = self._uploads.heard().get(POPULAR)
        leading, popularity = (popular.leading, popular.score) if popular else ([], lambda name: 0.0)
        names = typed_ones(self._server, self._items, typed, leading, popularity)[offset : offset + limit]
        rows = self._server.get(self._items, names, PAYLOAD)
        return [item_of(rows[name], with_text=True) for name in names if name in rows]

    def retrieve(self, question: Question, proposals: int) -> Answer:
        return retrieve(self._stock(), question, proposals)

    # parts

    def _stock(self) -> MilvusStock:
        known = self._registry.current()
        sample = self._samples.of(known.content, known.generation) if known.content else None
        return MilvusStock(self._server, self._items, known.content, sample, self._uploads.heard(), self._lenders)

    def _state_of(self, name: str, heard: Heard | None) -> UploadState:
        if heard is None:
            return UploadState(name, "empty", 0)
        upload = heard.upload
        known = sum(self._server.count(self._items, id_in(batch)) for batch in batches(upload.ids, IDS_AT_ONCE))
        return UploadState(name, upload.kind, upload.rows, len(upload.ids) - known, upload.dimension)

    def _known_items(self, ids: Sequence[str], *, with_text: bool) -> dict[str, Item]:
        """In the order of their first mention. Raises ItemUnknown for the first that is no item."""
        names = list(dict.fromkeys(ids))
        rows = self._server.get(self._items, names, PAYLOAD if with_text else BRIEF)
        for name in names:
            if name not in rows:
                raise ItemUnknown(f"There is no item {name[:200]!r}; put it first. Nothing of this request was stored.")
        return {name: item_of(rows[name], with_text=with_text) for name in names}

    def _refacet(self, spaces: Iterable[Space], facets: Sequence[Row]) -> None:
        """Changes what filters look at wherever the items have a vector, which stays as it is."""
        for space in spaces:
            there = self._server.get(space.collection, [facet["id"] for facet in facets], [])
            self._server.upsert(space.collection, [facet for facet in facets if facet["id"] in there], partial=True)

    def _state(self, space: Space) -> SpaceState:
        known, rows = self._registry.known, self._server.count(space.collection)
        content, previous = space == known.content, space.name == known.previous
        return SpaceState(space.name, space.fingerprint, space.dimension, space.kind, rows, max(0, len(self) - rows), content, previous)


def _mismatch(fingerprint: str, space: Space | None) -> FingerprintMismatch:
    has = f"the space {space.name!r} has {space.fingerprint!r}" if space else "and no space of this store has it"
    return FingerprintMismatch(
        f"The embeddings have the fingerprint {fingerprint!r}, {has}; embed with the encoder that made it, or create a space for them."
    )
