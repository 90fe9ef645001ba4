"""The route that reads the vectors of a space out, for jobs that train on them or move them. Knows nothing of SQLite, FAISS and Milvus."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Path as InPath
from fastapi import Query as Parameter
from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from retriever import api_bodies
from retriever.backends.protocol import Backend

ROWS = 500
"""Embeddings read at once in a thread."""


async def read_vectors(
    request: Request,
    space: Annotated[str, InPath(max_length=64)],
    after: Annotated[str, Parameter(max_length=128, description="Begins behind this id; to go on where a transfer was cut off.")] = "",
) -> StreamingResponse:
    """The embeddings of a vector space, or of the one with the role content, one `VectorLine` per line in the order of their ids."""
    store, workers = api_bodies.backend(request), api_bodies.workers(request)
    identity = await workers.search(store.space, space)

    async def lines() -> AsyncIterator[bytes]:
        last = after
        while identity:
            written, last = await workers.search(_lines, store, identity.name, last)
            yield written
            if not last:
                return

    return StreamingResponse(lines(), media_type=api_bodies.LINES)


def _lines(store: Backend, space: str, after: str) -> tuple[bytes, str]:
    """The next lines, and the id they end with; an empty one at the end."""
    ids = [item.id for item in store.after(after, ROWS)]
    vectors = store.vectors(space, ids).astype("<f4")
    rows = zip(ids, vectors, strict=True)
    # one that the space lacks is NaN
    written = (
        to_json({"id": name, "embedding": base64.b64encode(row.tobytes()).decode("ascii")}) + b"\n"
        for name, row in rows
        if row[0] == row[0]
    )
    return b"".join(written), ids[-1] if len(ids) == ROWS else ""
