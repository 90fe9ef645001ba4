"""Every setting of the expander. Knows nothing of how they are used."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class LlmLimits(BaseModel):
    """How much is asked of the LLM. One setting, a JSON object; what it does not name keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(
        default=0, ge=0, le=1024, description="Calls at once; 0 takes twice what the runtime profile works on at once."
    )
    queue: int = Field(default=64, ge=0, le=100_000, description="Expansions that may wait for their turn; beyond, the fallback answers.")
    timeout_s: float = Field(default=20.0, gt=0, le=300, description="Seconds after which a call is given up, also when nobody waits.")
    tokens_per_minute: int = Field(default=0, ge=0, description="Tokens of prompts and answers in a minute, of all callers; 0: no limit.")
    tokens_per_minute_per_key: int = Field(default=0, ge=0, description="Tokens in a minute of one API key of the gateway; 0: no limit.")
    retry_share: float = Field(default=0.2, ge=0, le=1, description="Second calls after an unusable answer, as a share of all calls.")
    hedge_after_ms: float = Field(
        default=0.0, ge=0, description="Milliseconds after which an unanswered call is sent a second time; 0: never."
    )


class Price(BaseModel):
    """What a model costs, in one currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_per_million: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Price of a million tokens of prompts.")
    completion_per_million: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Price of a million tokens of answers.")


class Settings(ServiceSettings):
    """Read from environment variables named `EXPANDER_` and the field."""

    model_config = SettingsConfigDict(env_prefix="EXPANDER_")

    port: int = Field(default=8002, ge=0, le=65535, description="TCP port to listen on.")
    topics_path: Path = Field(
        default=Path("artefacts/topics.json"), description="File of the co-occurrence artefact; read again when it changes."
    )
    encoder_url: str = Field(
        default="",
        pattern="^(https?://[^/].*)?$",
        description="Where the encoder listens, to find topics near an interest, and those that mean the same; empty: only words count.",
    )
    llm_url: str = Field(
        default="",
        pattern="^(https?://[^/].*)?$",
        description="Base URL of an OpenAI-compatible API, such as `http://127.0.0.1:8080/v1`; empty: topics come from the catalogue.",
    )
    llm_model: str = Field(default="", description="Name of the model to ask there; empty asks for `default`.")
    llm_profile: Literal["trn1-sdk2.28", "trn1-sdk2.31", "trn2", "gpu", "cpu", "external"] = Field(
        default="external", description="Runtime profile of that server: whether it obeys a schema, and how much it works on at once."
    )
    llm_api_key: SecretStr | None = Field(default=None, description="Bearer token for that API; never logged.")
    llm_limits: LlmLimits = Field(
        default=LlmLimits(), description='How much is asked of the LLM, a JSON object such as `{"queue": 128}`; see the README.'
    )
    llm_prices: dict[str, Price] = Field(
        default={}, description="Price of each model by name (`*`: any other), a JSON object; makes cost and savings visible as metrics."
    )
    cache_url: SecretStr = Field(
        default=SecretStr(""),
        description="`redis://` or `rediss://` URL of the Redis or Valkey that replicas share; empty: a SQLite file in `state_dir`.",
    )
    cache_size: int = Field(default=50_000, ge=1, le=5_000_000, description="LLM expansions kept, in memory and in the SQLite file.")
    cache_ttl_s: float = Field(
        default=7 * 86_400.0, gt=0, description="Seconds after which a kept expansion is made anew, behind the answer that it still gives."
    )
