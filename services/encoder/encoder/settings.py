"""Every setting of the encoder. Knows nothing of how they are used."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from environment variables named `ENCODER_` and the field."""

    model_config = SettingsConfigDict(env_prefix="ENCODER_")

    port: int = Field(default=8001, ge=0, le=65535, description="TCP port to listen on.")
    max_json_bytes: int = Field(
        default=8 * 2**20, ge=1024, description="Largest JSON body, in bytes (256 long texts are one); a larger one is answered 413."
    )
    backend: Literal["onnx", "torch", "neuron", "hashing"] = Field(
        default="onnx", description="What makes the embeddings: `onnx`, `torch`, `neuron` or `hashing`."
    )
    device: str = Field(
        default="cpu/fp32",
        pattern="^(cpu|cuda|inf2|trn1|trn1n|trn2)/(fp32|bf16)$",
        description="What `torch` (cpu, cuda) and `neuron` (inf2, trn1, trn1n, trn2) compute on and in which precision, as `cuda/bf16`.",
    )
    model: str = Field(
        default="minilm",
        min_length=1,
        description="`minilm`, or the path of a Hugging Face folder or a prepared artefact; for `neuron` of the compiled model.",
    )
    weights_sha256: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 that model.safetensors must have, in lower-case hexadecimal; empty checks `minilm` only.",
    )
    prefix: str = Field(default="", max_length=200, description="Text put before every passage, such as `passage: ` for E5 models.")
    max_tokens: int = Field(
        default=0, ge=0, le=8192, description="Tokens at which a passage is cut; 0 takes the model's own limit, else 256."
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Batches embedded at once, one thread each; 0 takes the CPUs this process may use, on a device what suits it.",
    )
    batch_texts: int = Field(default=8, ge=1, le=256, description="Passages per batch at most.")
    max_queued_tokens: int = Field(
        default=32_768, ge=256, description="Tokens accepted and not yet answered; while as many are held, requests are answered 429."
    )
    recent_bytes: int = Field(
        default=32 * 2**20, ge=0, le=2**34, description="Memory for embeddings of recent passages, in bytes; 0 keeps none."
    )
    deadline_ms: float = Field(
        default=30_000, gt=0, le=600_000, description="Milliseconds a request without the header x-deadline-ms may take."
    )
