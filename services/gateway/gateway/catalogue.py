"""Adds items to the catalogue and takes them out: passage, embedding, storage. Knows nothing of recommendations or of the wire."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import EncoderUnavailable, ItemUnknown, RequestRefused, RetrieverUnavailable
from gateway.passages import passage
from servicekit.client import Refused, ServiceError
from servicekit.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the catalogue; `text` is embedded and never shown."""

    id: str
    title: str
    attributes: Mapping[str, Any]
    text: str | None = None

    @property
    def passage(self) -> str:
        return passage(self.title, self.attributes, self.text)

    def fields(self) -> dict[str, Any]:
        """As JSON; parts it does not have are left out."""
        fields = {"id": self.id, "title": self.title, "attributes": self.attributes}
        return fields if self.text is None else {**fields, "text": self.text}


@dataclass(frozen=True, slots=True)
class EmbeddedItem:
    """An item with its embedding, base64 of little-endian float32."""

    item: Item
    embedding: str


@dataclass(frozen=True, slots=True)
class Relayed:
    """An answer of the retriever that is passed on as it is."""

    status: int
    content: bytes
    media_type: str


class Encoder(Protocol):
    """Where embeddings come from."""

    async def embed(self, texts: Sequence[str], deadline: Deadline, *, bulk: bool) -> tuple[str, list[str]]: ...


class Retriever(Protocol):
    """Where items are stored; every method raises `ServiceError`."""

    async def item(self, item_id: str, deadline: Deadline) -> Item | None: ...

    async def upsert(self, fingerprint: str, items: Sequence[EmbeddedItem], deadline: Deadline) -> int: ...

    async def delete(self, item_id: str, deadline: Deadline) -> bool: ...


@dataclass(frozen=True)
class Catalogue:
    """The items behind the gateway; one write gets `deadline_s` seconds. `told` reads what a refusal says was wrong."""

    encoder: Encoder
    retriever: Retriever
    deadline_s: float
    told: Callable[[Refused], str]

    def _deadline(self) -> Deadline:
        return Deadline.after_ms(self.deadline_s * 1_000)

    async def get(self, item_id: str, deadline: Deadline) -> Item:
        """Raises `ItemUnknown` or `RetrieverUnavailable`."""
        try:
            item = await self.retriever.item(item_id, deadline)
        except ServiceError as error:
            raise RetrieverUnavailable(f"The catalogue can not be read now: {error}; try again.") from error
        if item is None:
            raise ItemUnknown(item_id)
        return item

    async def store(self, items: Sequence[Item]) -> int:
        """Adds or replaces all of `items` or none (at most 256); how many were new. Several let the encoder's readers go first.

        Raises `RequestRefused` when the items themselves were refused, `EncoderUnavailable` or `RetrieverUnavailable` otherwise.
        """
        deadline = self._deadline()
        try:
            fingerprint, embeddings = await self.encoder.embed([item.passage for item in items], deadline, bulk=len(items) > 1)
        except ServiceError as error:
            raise self._refusal(error) or EncoderUnavailable(f"It could not be embedded: {error}; not stored, send it again.") from error
        embedded = [EmbeddedItem(item, embedding) for item, embedding in zip(items, embeddings, strict=True)]
        try:
            return await self.retriever.upsert(fingerprint, embedded, deadline)
        except ServiceError as error:
            raise self._refusal(error) or RetrieverUnavailable(f"The catalogue did not take it: {error}; send it again.") from error

    async def delete(self, item_id: str) -> None:
        """Raises `ItemUnknown` or `RetrieverUnavailable`."""
        try:
            existed = await self.retriever.delete(item_id, self._deadline())
        except ServiceError as error:
            raise RetrieverUnavailable(f"The item could not be deleted: {error}; try again.") from error
        if not existed:
            raise ItemUnknown(item_id)

    def _refusal(self, error: ServiceError) -> RequestRefused | None:
        refused = isinstance(error, Refused) and error.status in (400, 413, 422)
        return RequestRefused(self.told(error)) if refused and isinstance(error, Refused) else None
