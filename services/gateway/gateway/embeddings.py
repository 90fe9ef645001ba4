"""Keeps the embeddings of interests and topics, so that a known text needs no encoder. Knows nothing of models or of the wire."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from servicekit.client import ServiceError
from servicekit.deadline import Deadline


class Encoder(Protocol):
    """Where embeddings come from."""

    async def embed(self, texts: Sequence[str], deadline: Deadline) -> tuple[str, list[str]]:
        """The fingerprint and one embedding (base64 of little-endian float32) per text; raises `ServiceError`."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings by text, all of one fingerprint; `failure` says why some texts are missing."""

    known: dict[str, str]
    fingerprint: str | None
    failure: ServiceError | None = None


class Embeddings:
    """The newest `capacity` texts with their embeddings, of one fingerprint; another one empties it."""

    def __init__(self, encoder: Encoder, capacity: int) -> None:
        self._encoder, self._capacity = encoder, capacity
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._fingerprint: str | None = None

    async def of(self, texts: Sequence[str], deadline: Deadline) -> Embedded:
        """Embeddings of `texts`; the encoder is asked only for those it has not embedded before. Never raises `ServiceError`."""
        failure = None
        fresh: dict[str, str] = {}
        if missing := [text for text in dict.fromkeys(texts) if text not in self._kept]:
            try:
                fingerprint, made = await self._encoder.embed(missing, deadline)
            except ServiceError as error:
                failure = error
            else:
                fresh = dict(zip(missing, made, strict=True))
                self._keep(fingerprint, fresh)
        known = {text: embedding for text in texts if (embedding := fresh.get(text) or self._kept.get(text))}
        for text in known.keys() & self._kept.keys():
            self._kept.move_to_end(text)
        return Embedded(known, self._fingerprint, failure)

    def _keep(self, fingerprint: str, fresh: dict[str, str]) -> None:
        if fingerprint != self._fingerprint:
            self.forget()
            self._fingerprint = fingerprint
        self._kept.update(fresh)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def forget(self) -> None:
        """Empties it, because the space they belong to is no longer the catalogue's."""
        self._kept.clear()
        self._fingerprint = None
