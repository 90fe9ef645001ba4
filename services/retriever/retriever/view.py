"""What a reader sees: the catalogue and its spaces at one moment. Knows nothing of threads, HTTP and how vectors are searched.

Rows are item numbers. Everything here is immutable or only grows behind what this view knows of, so the writer prepares the next view
while readers use this one, and what they see changes in one assignment. Titles and attributes of answers are read from SQLite, where a
write may be a moment ahead: an item that was deleted since has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from retriever.allowed import Allowed
from retriever.attributes import Attributes
from retriever.backends.protocol import CONTENT
from retriever.bitmaps import of_numbers
from retriever.catalogue import Catalogue
from retriever.centre import NOWHERE, Centre
from retriever.centred import Centred
from retriever.collaborative import Collaborative
from retriever.errors import FingerprintMismatch, SpaceUnknown
from retriever.filters import EVERYTHING, Expression
from retriever.identity import Identity, Meta
from retriever.items import Bools, Item, Rows
from retriever.names import Names
from retriever.popular import Popular
from retriever.sources import Content, LikedTogether, Prior, Query, Similar, Source
from retriever.spaces import COLLABORATIVE, POPULAR, Upload
from retriever.vectorspace import VectorSpace

Named = Sequence[tuple[int, str]]
"""Rows and the ids of their items."""


@dataclass(frozen=True, eq=False)
class View:
    """`spaces` by their numbers; `count` is the largest item number + 1; `lenders` is how many items a cold one borrows from."""

    catalogue: Catalogue
    meta: Meta
    names: Names
    attributes: Attributes
    spaces: Mapping[int, VectorSpace]
    count: int
    centre: Centre
    lenders: int
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    collaborative: Collaborative | None = None
    popular: Popular | None = None

    def __len__(self) -> int:
        """Items."""
        return len(self.attributes.live)

    @property
    def generation(self) -> int:
        return self.meta.generation

    @property
    def content(self) -> VectorSpace | None:
        """The space that plays this role."""
        return None if self.meta.content is None else self.spaces[self.meta.content]

    @cached_property
    def centred(self) -> Centred[Allowed]:
        """The content space from the centre; there must be one."""
        assert self.content is not None
        return Centred(self.centre, self.content)

    @cached_property
    def living(self) -> Allowed:
        """The items that can be retrieved: those with a vector in the content space."""
        if self.content is None:
            return Allowed(of_numbers(np.empty(0, np.int64)))
        return Allowed(self.attributes.live if len(self.content) == len(self) else of_numbers(self.content.living()))

    @cached_property
    def live(self) -> Bools:
        """The same as `(count,)`."""
        return self.living.bools(self.count)

    @property
    def rows(self) -> Rows:
        """The same, ascending."""
        return self.living.rows()

    def named(self, name: str) -> VectorSpace:
        """The vector space that is called so or plays the role; raises SpaceUnknown."""
        if name == CONTENT and self.content is not None:
            return self.content
        for space in self.spaces.values():
            if space.identity.name == name:
                return space
        known = ", ".join(sorted(space.identity.name for space in self.spaces.values())) or "none yet"
        raise SpaceUnknown(f"There is no vector space {name[:80]!r} (there are: {known}); create it with POST /v1/spaces.")

    def dimension_of(self, fingerprint: str) -> int | None:
        """Of the spaces with this fingerprint; None when there is no such space."""
        return next((space.dimension for space in self.spaces.values() if space.identity.fingerprint == fingerprint), None)

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises FingerprintMismatch unless a space has this fingerprint, or there is no space yet."""
        if self.content is not None and self.dimension_of(fingerprint) is None:
            check_same(fingerprint, self.content.identity)

    @property
    def fingerprint(self) -> str | None:
        """Of the content space."""
        return self.content.identity.fingerprint if self.content else None

    def sources(self, queries: Sequence[Query], liked: Rows) -> Mapping[str, Callable[[], Source[Allowed] | None]]:
        """See `retrieval.Stock.sources`."""
        queries, content = queries if self.living.count else (), self.content
        return {
            "content": lambda: Content(content, queries) if content and queries else None,
            "similar": lambda: Similar(self, liked) if len(liked) else None,
            "collaborative": lambda: LikedTogether.of_liked(self, liked) or LikedTogether.of_queries(self, queries),
            "popular": lambda: Prior(self) if self.popular and self.living.count else None,
        }

    def allowed(self, expression: Expression | None, excluded: Sequence[str]) -> Allowed:
        """The living items that meet `expression` and whose ids are not `excluded`."""
        narrowed = self.narrowed(expression, self.numbers(excluded))
        if narrowed is None:
            return self.living
        return narrowed if len(self.living.numbers) == len(self) else Allowed(narrowed.numbers & self.living.numbers)

    def narrowed(self, expression: Expression | None, excluded: Rows) -> Allowed | None:
        """The items that meet `expression` and are not `excluded`; None when that leaves all."""
        if (expression is None or expression == EVERYTHING) and not len(excluded):
            return None
        allowed = Allowed(self.attributes.live) if expression is None else self.attributes.matching(expression, self._numbers_of)
        return Allowed(allowed.numbers - of_numbers(excluded)) if len(excluded) else allowed

    def _numbers_of(self, ids: tuple[str, ...]) -> list[int]:
        found: list[int] = self.catalogue.numbers(ids).tolist()
        return [number for number in found if number >= 0]

    def numbers(self, ids: Sequence[str]) -> Rows:
        """The item numbers of those `ids` that this view knows, each once, in their order."""
        found = self.catalogue.numbers(list(dict.fromkeys(ids))) if ids else np.empty(0, np.int64)
        found = found[(found >= 0) & (found < self.count)]
        return found[self.living.has(found)]

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of `rows`."""
        return self.names.of(rows)

    def items(self, rows: Sequence[int]) -> dict[int, Item]:
        """Those of `rows` that are still there, without their texts."""
        return self.catalogue.at(rows)

    def with_upload(self, space: str, upload: Upload) -> "View":
        """With the whole of an uploaded space replaced."""
        return replace(self, uploads={**self.uploads, space: upload}).with_sources(collaborative=space == COLLABORATIVE)

    def with_content_anew(self) -> "View":
        """With everything that is derived from the content space made from scratch: another space has the role."""
        if self.content is None:
            return replace(self, collaborative=None, popular=None)
        centre = Centre(self.content.mean, len(self.content)) if len(self.content) else NOWHERE
        return replace(self, centre=centre).with_sources(collaborative=True)

    def with_sources(self, *, collaborative: bool = True) -> "View":
        """With the popular source made from its upload, and also the collaborative one when asked."""
        if not self.uploads or self.content is None:
            return self
        numbers, names = self.catalogue.all_ids()
        known = numbers < self.count
        ids = [(row, name) for row, name, seen in zip(numbers.tolist(), names, known.tolist(), strict=True) if seen and self.live[row]]
        view = self
        if collaborative:
            upload = self.uploads.get(COLLABORATIVE)
            made = Collaborative.over(upload, self.lenders, self.centred, ids, self.live) if upload else None
            view = replace(self, collaborative=made)
        upload, loans = self.uploads.get(POPULAR), view.collaborative.loans if view.collaborative else None
        return replace(view, popular=Popular.over(upload, ids, self.live, loans) if upload else None)

    def seen_anew(self, changed: Named) -> "View":
        """With the centre and what is derived from the content space brought up to date; `changed` came or has another vector there."""
        if self.content is None:
            return self
        view, items = self, len(self.content)
        if due := self.centre.due(items):
            view = replace(self, centre=Centre(self.content.mean, items))
        collaborative = self.collaborative
        if collaborative:
            collaborative = (collaborative.without_loans() if due else collaborative).changed(view.centred, changed, view.live)
        popular = self.popular and self.popular.changed(changed, view.live, collaborative.loans if collaborative else None)
        return replace(view, collaborative=collaborative, popular=popular) if collaborative or popular else view


def check_same(fingerprint: str, identity: Identity) -> None:
    """Raises FingerprintMismatch when the space has another one."""
    if identity.fingerprint != fingerprint:
        raise FingerprintMismatch(
            f"The embeddings have the fingerprint {fingerprint!r}, the space {identity.name!r} has {identity.fingerprint!r}; "
            "embed with the encoder that made the space, or fill a second space (POST /v1/spaces) and cut over to it."
        )
