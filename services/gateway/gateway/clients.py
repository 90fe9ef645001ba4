"""Calls the encoder, the expander and the retriever, and turns their wire types into domain values. Knows nothing of what is made of them.

Every method raises `ServiceError`; an answer that breaks the contract counts as one that did not come. A call that found a broken
connection is sent once more, because nothing here does harm when it is done twice: a restarted service costs no failed request.
"""

import asyncio
import base64
import json
import math
from array import array
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from contracts.encoder import BINARY_MEDIA_TYPE, COUNT_HEADER, DIMENSION_HEADER, FINGERPRINT_HEADER, PRIORITY_HEADER, EncoderIdentity
from contracts.expander import CALLER_HEADER, ErasedExpansions, ExpanderIdentity, ExpandRequest, ExpandResponse
from contracts.items import Item as WireItem
from contracts.problems import Problem
from contracts.retriever import Candidate as WireCandidate
from contracts.retriever import ItemPage, RetrieveResponse, UpsertResponse
from contracts.wire import MAX_DIMENSION
from gateway.candidates import Candidate, Found, Search, SourceScore
from gateway.catalogue import EmbeddedItem, Item, Relayed
from gateway.evidence import Asked
from gateway.topics import Expansion, Topics
from servicekit.client import JSON, Refused, ServiceClient, Unreachable
from servicekit.deadline import Deadline

NOTHING_TO_RETRIEVE = b"/problems/nothing-to-retrieve"
INLINE_TEXTS = 32
"""A request with more texts is written in a thread."""
AnswerType = TypeVar("AnswerType", bound=BaseModel)


class _LeanCandidate(WireCandidate):
    """Attributes are passed on as the catalogue holds them: looking at every word of them again was half the cost of a request."""

    attributes: dict[str, Any]


class _LeanResponse(RetrieveResponse):
    candidates: tuple[_LeanCandidate, ...]


async def _call(service: ServiceClient, method: str, path: str, deadline: Deadline, **options: Any) -> tuple[bytes, Mapping[str, str]]:
    try:
        return await service.call(method, path, deadline, **options)
    except Unreachable:
        return await service.call(method, path, deadline, **options)


async def _ask(service: ServiceClient, method: str, path: str, answer: type[AnswerType], deadline: Deadline, **options: Any) -> AnswerType:
    content, _ = await _call(service, method, path, deadline, **options)
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        raise _broken(service, error.errors()[0]["msg"], content) from error


def _broken(service: ServiceClient, what: str, content: bytes = b"") -> Refused:
    return Refused(f"{service.name} broke the contract: {what}", 502, content)


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


async def _json_of(texts: int, body: object) -> bytes:
    return _json(body) if texts <= INLINE_TEXTS else await asyncio.to_thread(_json, body)


@dataclass(frozen=True)
class EncoderClient:
    """The encoder: texts in, embeddings out."""

    service: ServiceClient

    async def embed(self, texts: Sequence[str], deadline: Deadline, *, bulk: bool = False) -> tuple[str, list[str]]:
        """The fingerprint and one embedding (base64 of little-endian float32) per text, at most 256; `bulk` ones let others go first."""
        headers = {**JSON, "accept": BINARY_MEDIA_TYPE} | ({PRIORITY_HEADER: "bulk"} if bulk else {})
        body = await _json_of(len(texts), {"texts": texts})
        content, answered = await _call(self.service, "POST", "/v1/embed", deadline, body=body, headers=headers)
        count, dimension = (int(value) if (value := answered.get(name, "")).isdecimal() else 0 for name in (COUNT_HEADER, DIMENSION_HEADER))
        fingerprint = answered.get(FINGERPRINT_HEADER, "")
        if not fingerprint or count != len(texts) or not 0 < dimension <= MAX_DIMENSION or len(content) != count * dimension * 4:
            shape = f"{len(content)} bytes as {count} embeddings of {dimension} numbers, fingerprint {fingerprint!r}"
            raise _broken(self.service, f"{shape}, for {len(texts)} texts")
        if not math.isfinite(sum(array("f", content))):  # the sum of finite float32 can not overflow a double
            raise _broken(self.service, "NaN or infinity in an embedding")
        size = dimension * 4
        return fingerprint, [base64.b64encode(content[at : at + size]).decode() for at in range(0, len(content), size)]

    async def identity(self, deadline: Deadline) -> str:
        """Model and backend, to show."""
        answer = await _ask(self.service, "GET", "/v1/fingerprint", EncoderIdentity, deadline)
        return f"{answer.model} ({answer.backend}, {answer.dimension} dimensions)"


@dataclass(frozen=True)
class ExpanderClient:
    """The expander: interests in, topics out."""

    service: ServiceClient

    async def expand(self, asked: Asked, patience_ms: float, deadline: Deadline) -> Topics:
        """One expansion per interest; after `patience_ms` the expander's own fallback answers."""
        said = {"interests": asked.interests, "mode": asked.expansion, "locale": asked.locale, "user_id": asked.user_id}
        body = ExpandRequest.model_validate({**said, "deadline_ms": patience_ms}).model_dump_json(exclude_none=True).encode()
        headers = {**JSON, CALLER_HEADER: asked.caller} if asked.caller else JSON
        answer = await _ask(self.service, "POST", "/v1/expand", ExpandResponse, deadline, body=body, headers=headers)
        interests = asked.interests
        if len(answer.expansions) != len(interests):
            raise _broken(self.service, f"{len(answer.expansions)} expansions for {len(interests)} interests")
        expansions = tuple(
            Expansion(interest, one.topics, one.source, one.model, one.fallback_reason)
            for interest, one in zip(interests, answer.expansions, strict=True)
        )
        return Topics(expansions, answer.degraded, any(one.pending for one in answer.expansions))

    async def erase(self, user_id: str, deadline: Deadline) -> int:
        """Removes what is kept of a user's words; how many expansions that were."""
        path = f"/v1/users/{quote(user_id, safe='')}/expansions"
        return (await _ask(self.service, "DELETE", path, ErasedExpansions, deadline)).erased

    async def identity(self, deadline: Deadline) -> str:
        """Backend and model, to show."""
        answer = await _ask(self.service, "GET", "/v1/backend", ExpanderIdentity, deadline)
        return f"{answer.backend} ({answer.model})"


@dataclass(frozen=True)
class RetrieverClient:
    """The retriever: the catalogue, its spaces, and candidates.

    `service` answers what a user waits for, and may be read replicas; `writer` has the catalogue, which jobs write and read back at once.
    """

    service: ServiceClient
    writer: ServiceClient

    async def retrieve(self, search: Search, deadline: Deadline) -> Found:
        """Candidates, best first; none, with no weights, when no source has anything to go by."""
        body: dict[str, Any] = {"weights": search.weights, "k": search.k, "liked": search.liked, "exclude": search.exclude}
        body |= {"filter": search.filter}
        if search.queries:
            queries = [{"label": one.label, "embedding": one.embedding, "weight": one.weight} for one in search.queries]
            body |= {"queries": queries, "fingerprint": search.fingerprint}
        try:
            answer = await _ask(self.service, "POST", "/v1/retrieve", _LeanResponse, deadline, body=_json(body))
        except Refused as error:
            if NOTHING_TO_RETRIEVE in error.body:
                return Found((), {})
            raise
        candidates = tuple(
            Candidate(
                one.id,
                one.title,
                one.attributes,
                one.score,
                {name: SourceScore(said.standard_score, said.found_by) for name, said in one.sources.items()},
            )
            for one in answer.candidates
        )
        if not all(math.isfinite(one.score + sum(said.standard_score for said in one.sources.values())) for one in candidates):
            raise _broken(self.service, "NaN or infinity in a score")
        return Found(candidates, search.weights, answer.unknown_liked)

    async def item(self, item_id: str, deadline: Deadline) -> Item | None:
        """The item; None when the catalogue does not hold it."""
        try:
            answer = await _ask(self.service, "GET", f"/v1/items/{quote(item_id, safe='')}", WireItem, deadline)
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return Item(answer.id, answer.title, answer.attributes, answer.text)

    async def upsert(self, fingerprint: str, items: Sequence[EmbeddedItem], deadline: Deadline) -> int:
        """Stores all of `items` or none; how many were new."""
        rows = [{"item": one.item.fields(), "embedding": one.embedding} for one in items]
        body = await _json_of(len(rows), {"fingerprint": fingerprint, "items": rows})
        return (await _ask(self.writer, "PUT", "/v1/items", UpsertResponse, deadline, body=body)).created

    async def delete(self, item_id: str, deadline: Deadline) -> bool:
        """False when the catalogue did not hold it."""
        try:
            await _call(self.writer, "DELETE", f"/v1/items/{quote(item_id, safe='')}", deadline)
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    async def count(self, deadline: Deadline) -> int:
        """Items of the catalogue."""
        return (await _ask(self.writer, "GET", "/v1/items", ItemPage, deadline, query={"limit": "1"})).total

    async def check(self, deadline: Deadline) -> None:
        """Returns when the retriever is ready."""
        await _call(self.service, "GET", "/readyz", deadline)

    async def relay(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Relayed:
        """Passes a request through as it is; what the retriever refuses because of the caller (4xx) comes back as its answer."""
        typed = method == "GET" and query is not None and "query" in query  # by a person, who waits
        service = self.service if typed else self.writer
        try:
            send = service.call if body else partial(_call, service)  # a streamed body can not be sent a second time
            content, answered = await send(method, path, deadline, body=body, headers=headers, query=query)
        except Refused as error:
            if error.status in (400, 404, 409, 413, 415, 422):
                return Relayed(error.status, error.body, "application/problem+json")
            raise
        return Relayed(200, content, answered.get("content-type", "application/json"))


def told(error: Refused) -> str:
    """What a refusal says was wrong: the detail of its problem, where it is one."""
    try:
        return Problem.model_validate_json(error.body).detail
    except ValidationError:
        return str(error)
