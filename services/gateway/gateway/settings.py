"""The gateway's settings. Knows nothing of how they are used."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from `GATEWAY_...` variables."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="forbid")

    port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on.")
    encoder_url: str = Field(default="http://127.0.0.1:8001", pattern="^https?://", description="Where the encoder listens.")
    expander_url: str = Field(default="http://127.0.0.1:8002", pattern="^https?://", description="Where the expander listens.")
    retriever_url: str = Field(
        default="http://127.0.0.1:8003",
        pattern=r"^https?://[^,\s]+(,https?://[^,\s]+)?$",
        description="Where the retriever listens; with read replicas theirs, a comma, and that of the one that takes writes.",
    )
    ladder_path: Path | None = Field(default=None, description="The ladder artefact, a JSON file; the packaged one when left out.")
    expander_share: float = Field(
        default=0.4, gt=0, lt=1, description="Fraction of a request's deadline after which topics and profile are no longer waited for."
    )
    encoder_share: float = Field(
        default=0.7, gt=0, lt=1, description="Fraction of a request's deadline after which embeddings are no longer waited for."
    )
    import_deadline_s: float = Field(
        default=120.0, gt=0, description="Seconds that the encoder and the retriever get for one batch of an import, or one space upload."
    )
    popular_refresh_s: float = Field(default=60.0, gt=0, description="Seconds between two fetches of the popular list held for outages.")
    cached_embeddings: int = Field(
        default=20_000, ge=0, description="Interests and topics whose embeddings are kept in memory, in texts (about 2 KB each)."
    )
    profiles_url: SecretStr = Field(
        default=SecretStr(""),
        description="`postgresql://` URL of the PostgreSQL that several gateways share; empty: SQLite in `state_dir`. Never logged.",
    )
    liked_rating: float = Field(default=4.0, description="A stored rating of at least this value, in the caller's units, counts as liked.")

    @property
    def retriever_urls(self) -> tuple[str, str]:
        """Whom to ask for candidates and items, and who has the catalogue; the same unless there are read replicas."""
        asked, _, written = self.retriever_url.partition(",")
        return asked, written or asked
