"""What the encoder takes and gives. Knows nothing of models."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from contracts.wire import MAX_DIMENSION, Embedding, LongText, Reply, Wire

BINARY_MEDIA_TYPE = "application/vnd.warmstart.embeddings"
"""Compact answer: the embeddings as raw little-endian float32, row after row; shape and fingerprint stand in the headers."""

COUNT_HEADER, DIMENSION_HEADER, FINGERPRINT_HEADER = "x-embedding-count", "x-embedding-dimension", "x-embedding-fingerprint"
PRIORITY_HEADER = "x-priority"
"""Request header: `online` (the default) or `bulk`, which gets what online requests leave."""
MAX_TEXTS, MAX_INPUTS = 256, 2048
"""Of one request to `/v1/embed` and to `/v1/embeddings`, where it is OpenAI's limit."""

Dimensions = Annotated[
    int | None,
    Field(
        ge=1, le=MAX_DIMENSION, description="Numbers per embedding, fewer than the model's where `GET /v1/model` names them; null for all."
    ),
]


def _worded(text: str) -> str:
    if not text or text.isspace():
        raise ValueError("is blank; send some words or leave it out")
    return text


EmbeddedText = Annotated[LongText, AfterValidator(_worded)]
"""A passage of 1 to 20,000 characters that are not all white space: of nothing there is nothing to embed."""


def _few(most: int) -> BeforeValidator:
    """Tells how many there are, which pydantic stops counting at."""

    def checked(value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) > most:
            raise ValueError(f"has {len(value)} texts; send at most {most} in one request")
        return value

    return BeforeValidator(checked)


class EmbedRequest(Wire):
    """Passages to embed."""

    texts: Annotated[tuple[EmbeddedText, ...], _few(MAX_TEXTS), Field(min_length=1, max_length=MAX_TEXTS)]
    dimensions: Dimensions = None


class EmbedResponse(Reply):
    """Unit-length embeddings, one per text, in order."""

    embeddings: tuple[Embedding, ...]
    dimension: int
    fingerprint: str = Field(description="The identity of the embedding space (model, weights, precision, pooling, ...).")


def _texts(value: Any) -> Any:
    """One text is a list of one; token ids are refused."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and value and isinstance(value[0], int | list):
        raise ValueError("has token ids, which mean nothing to this model; send texts (LangChain: check_embedding_ctx_length=False)")
    return value


_TEXT = {"type": "string", "maxLength": 20_000}


class EmbeddingsRequest(Wire):
    """What `embeddings.create` of OpenAI's clients sends."""

    input: Annotated[
        tuple[EmbeddedText, ...],
        _few(MAX_INPUTS),
        BeforeValidator(_texts),
        Field(min_length=1, max_length=MAX_INPUTS),
        WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_INPUTS}]}),
    ] = Field(description="One text, or a list of them; not token ids.")
    model: Annotated[str, StringConstraints(max_length=500)] = Field(description="The served model, or its fingerprint: `GET /v1/model`.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Dimensions = None
    user: Annotated[str, StringConstraints(max_length=500)] | None = Field(default=None, description="Ignored.")


class EmbeddingRow(Reply):
    """One embedding of an `EmbeddingsResponse`."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Unit length; as numbers or as base64 of little-endian float32.")


class Usage(Reply):
    """What was embedded, in tokens as the model takes them: special ones counted, cut off ones not."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Reply):
    """As OpenAI's. The fingerprint stands in the header `x-embedding-fingerprint`."""

    object: Literal["list"]
    data: list[EmbeddingRow]
    model: str
    usage: Usage


class EncoderIdentity(Reply):
    """`GET /v1/fingerprint`: which space this encoder embeds into."""

    fingerprint: str
    model: str
    backend: str
    dimension: int
    max_tokens: int = Field(description="Longer passages are cut at this many tokens.")


class LadderSteps(Reply):
    """Which passages are run together."""

    lengths: tuple[int, ...] = Field(description="Steps of lengths in tokens; passages of one step share batches.")
    texts: int = Field(description="Passages of a batch at most.")
    positions: int = Field(description="Tokens and padding of a batch at most.")


class EncoderModel(EncoderIdentity):
    """`GET /v1/model`: what is served, and how."""

    precision: str
    pooling: str
    normalisation: str
    prefix: str
    dimensions: dict[int, str] = Field(description="Numbers per embedding that may be asked for, each with its fingerprint.")
    ladder: LadderSteps
    golden_passages: int = Field(description="Passages that readiness compares with what they were when the model was prepared; 0: none.")
