"""Every setting of the expander. Knows nothing of how they are used."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from environment variables named `EXPANDER_` and the field."""

    model_config = SettingsConfigDict(env_prefix="EXPANDER_")

    port: int = Field(default=8002, ge=0, le=65535, description="TCP port to listen on.")
    topics_path: Path = Field(
        default=Path("artefacts/topics.json"), description="File of the co-occurrence artefact; read again when it changes."
    )
    llm_url: str = Field(
        default="",
        pattern="^(https?://[^/].*)?$",
        description="Base URL of an OpenAI-compatible API, such as `http://127.0.0.1:8080/v1`; empty: topics come from the catalogue.",
    )
    llm_model: str = Field(default="", description="Name of the model to ask there; empty asks for `default`.")
    llm_profile: Literal["trn1-sdk2.28", "trn1-sdk2.31", "trn2", "gpu", "cpu", "external"] = Field(
        default="external", description="Runtime profile of that server; it decides whether answers are asked for by `response_format`."
    )
    llm_api_key: SecretStr | None = Field(default=None, description="Bearer token for that API; never logged.")
    llm_max_tokens: int = Field(default=160, ge=32, le=4096, description="Tokens the LLM may write per expansion.")
    llm_temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature; 0 takes the likeliest words.")
    llm_timeout_s: float = Field(
        default=20.0, gt=0, le=300, description="Seconds after which a call is given up, also when nobody waits for it any more."
    )
    llm_concurrency: int = Field(default=16, ge=1, le=1024, description="Expansions at the LLM at once; beyond, the fallback answers.")
    cache_size: int = Field(default=50_000, ge=1, le=5_000_000, description="LLM expansions kept, in memory and in `state_dir`.")
    cache_ttl_s: float = Field(
        default=7 * 86_400.0, gt=0, description="Seconds after which a kept expansion is asked anew; it still serves when the LLM fails."
    )
