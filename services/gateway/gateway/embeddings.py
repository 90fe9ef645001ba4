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
        """Embeddings of `texts`; the encoder is asked only for those it has not embedded before. Never raises `ServiceError`.

        When the encoder answers with another fingerprint than the known texts have, these are embedded again, once.
        """
        # Taken before the encoder is waited for: another request may empty the store meanwhile.
        held, fingerprint = self._held(texts), self._fingerprint
        missing = [text for text in dict.fromkeys(texts) if text not in held]
        if not missing:
            return Embedded(held, fingerprint)
        try:
            made_by, fresh = await self._make(missing, deadline)
        except ServiceError as error:
            return Embedded(held, fingerprint if held else None, error)
        if not held or made_by == fingerprint:
            return Embedded({**held, **fresh}, made_by)
        try:
            again_by, again = await self._make(list(held), deadline)
        except ServiceError as error:
            return Embedded(fresh, made_by, error)
        if again_by != made_by:
            return Embedded(again, again_by, ServiceError(f"encoder answers with the fingerprints {made_by} and {again_by} in turn"))
        return Embedded({**fresh, **again}, made_by)

    def _held(self, texts: Sequence[str]) -> dict[str, str]:
        held = {text: self._kept[text] for text in texts if text in self._kept}
        for text in held:
            self._kept.move_to_end(text)
        return held

    async def _make(self, texts: Sequence[str], deadline: Deadline) -> tuple[str, dict[str, str]]:
        fingerprint, made = await self._encoder.embed(texts, deadline)
        fresh = dict(zip(texts, made, strict=True))
        self._keep(fingerprint, fresh)
        return fingerprint, fresh

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
