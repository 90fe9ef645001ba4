"""The routes of the spaces. Know nothing of SQLite, FAISS or threads."""

from typing import Annotated

from fastapi import Path as InPath
from fastapi import Query as Parameter
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from contracts.retriever import ContentRole, NewSpace, RoleStatus, SpaceStatus, UpsertResponse
from retriever import api_bodies, api_lines
from retriever.api_export import read_vectors
from retriever.api_writes import pour
from retriever.backends.protocol import CONTENT, SpaceState
from retriever.errors import SpaceUnknown
from retriever.upload import SpaceUpload
from retriever.uploaded import UploadState

SpaceFingerprint = Annotated[str, Parameter(min_length=1, max_length=500, description="Of the embeddings; must be the space's.")]
Named = Annotated[str, InPath(max_length=64)]


async def replace_space(request: Request, space: str) -> SpaceStatus:
    """Replaces a whole space (collaborative or popular) by the uploaded rows, one JSON object per line; all or nothing."""
    workers, upload = api_bodies.workers(request), SpaceUpload(space)
    async for portion in api_bodies.portions(request):
        await workers.read(upload.feed, portion)
    state = await workers.write(api_bodies.backend(request).replace_space, space, await workers.read(upload.finish))
    api_bodies.metrics(request).space_rows.labels(space).set(state.rows)
    return _uploaded(state)


async def list_spaces(request: Request) -> list[SpaceStatus]:
    """What each space holds: the vector spaces, the one with the role content first, then the uploaded ones."""
    store, workers = api_bodies.backend(request), api_bodies.workers(request)
    vectors, uploaded = await workers.search(store.spaces), await workers.search(store.uploads)
    ordered = sorted(vectors, key=lambda state: (not state.content, state.name))
    return [*map(_vectors, ordered), *map(_uploaded, uploaded)]


async def create_space(request: Request) -> SpaceStatus:
    """Makes an empty vector space beside those there are; one that is there with the same values is left alone."""
    body = await api_bodies.read(request, NewSpace)
    made = await api_bodies.workers(request).write(
        api_bodies.backend(request).create_space, body.name, body.fingerprint, body.dimension, body.kind
    )
    return _vectors(made)


async def put_vectors(request: Request, space: Named, fingerprint: SpaceFingerprint) -> Response:
    """Adds or replaces the vectors of items in one space, as lines, in batches of 1,000 as they come; the first bad line ends it."""
    store = api_bodies.backend(request)
    if (identity := store.space(space)) is None:
        raise SpaceUnknown("There is no vector space yet; make one with POST /v1/spaces, or put items.")
    written = await pour(
        request, api_lines.vector_lines(identity.dimension), lambda rows: store.put_vectors(identity.name, fingerprint, *rows)
    )
    return api_bodies.answer(
        UpsertResponse(created=written.created, replaced=written.replaced, duplicates=written.duplicates, generation=written.generation)
    )


async def drop_space(request: Request, space: Named) -> Response:
    """Removes a vector space with its vectors; not the one with the role content."""
    await api_bodies.workers(request).write(api_bodies.backend(request).drop_space, space)
    return Response(status_code=204)


async def merge_space(request: Request, space: Named) -> Response:
    """Seals what is in memory and merges all parts of the index into one, in the background; GET /v1/spaces tells how far it is."""
    await api_bodies.workers(request).write(api_bodies.backend(request).merge, space)
    return Response(status_code=202)


async def cut_over(request: Request) -> RoleStatus:
    """Points the role content at another vector space, in one step for all searches; back is the same with the space before."""
    body = await api_bodies.read(request, ContentRole)
    store = api_bodies.backend(request)

    def point() -> int:
        return store.cut_over(body.space, allow_missing=body.allow_missing)

    return RoleStatus(space=body.space, generation=await api_bodies.workers(request).write(point))


async def read_content_space(request: Request) -> StreamingResponse:
    """The embedding of every item in the space with the role content, one `SpaceRow` per line; for jobs that train on text."""
    return await read_vectors(request, CONTENT)


def _uploaded(state: UploadState) -> SpaceStatus:
    return SpaceStatus.model_validate(vars(state))


def _vectors(state: SpaceState) -> SpaceStatus:
    return SpaceStatus(
        name=state.name,
        kind=state.kind,
        rows=state.rows,
        dimension=state.dimension,
        fingerprint=state.fingerprint,
        role=CONTENT if state.content else None,
        previous=state.previous,
        missing=state.missing,
        segments=state.segments,
        unsealed=state.unsealed,
        dead=state.dead,
    )
