"""What the encoder takes and gives. Knows nothing of models."""

from typing import Annotated

from pydantic import Field

from contracts.wire import Embedding, LongText, Reply, Wire

BINARY_MEDIA_TYPE = "application/vnd.warmstart.embeddings"
"""Compact answer: the embeddings as raw little-endian float32, row after row; shape and fingerprint stand in the headers."""

COUNT_HEADER, DIMENSION_HEADER, FINGERPRINT_HEADER = "x-embedding-count", "x-embedding-dimension", "x-embedding-fingerprint"


class EmbedRequest(Wire):
    """Passages to embed."""

    texts: Annotated[tuple[LongText, ...], Field(min_length=1, max_length=256)]


class EmbedResponse(Reply):
    """Unit-length embeddings, one per text, in order."""

    embeddings: tuple[Embedding, ...]
    dimension: int
    fingerprint: str = Field(description="The identity of the embedding space (model, weights, precision, pooling, ...).")


class EncoderIdentity(Reply):
    """`GET /v1/fingerprint`: which space this encoder embeds into."""

    fingerprint: str
    model: str
    backend: str
    dimension: int
    max_tokens: int = Field(description="Longer passages are cut at this many tokens.")
