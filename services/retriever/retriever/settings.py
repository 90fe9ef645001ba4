"""Every setting of the retriever. Knows nothing of what is built from them."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Name = environment variable with the prefix `RETRIEVER_`."""

    model_config = SettingsConfigDict(env_prefix="RETRIEVER_", frozen=True, extra="forbid")

    port: int = Field(default=8003, ge=0, le=65535, description="TCP port to listen on.")
    max_json_bytes: int = Field(
        default=16 * 2**20,
        ge=1024,
        description="Largest JSON body, in bytes (1,000 items with their embeddings are one); a larger one is answered 413.",
    )
    search_threads: int = Field(default=4, ge=1, le=256, description="Searches and reads worked on at once, one thread each.")
    candidates_per_source: int = Field(
        default=500, ge=1, le=100_000, description="Items that each source proposes; all proposals are then scored in every source."
    )
    fsync: bool = Field(
        default=True,
        description="Whether an acknowledged write is on the disk (survives loss of power) or with the system (survives kill -9 only).",
    )
    index_kind: str = Field(
        default="hnsw",
        pattern="^(hnsw|hnsw-sq8|ivf-sq8|ivf-pq)$",
        description="Kind of index of the first vector space; others name theirs.",
    )
    build_threads: int = Field(default=1, ge=1, le=64, description="Threads of the process that builds segments beside the service.")
    publish_url: str = Field(
        default="", description="Folder or s3:// URL for snapshots and changes that read replicas follow; empty: none."
    )
    follow_url: str = Field(default="", description="The same, to be followed: this process is a read replica and takes no writes.")
    replicate_every_s: float = Field(default=0.5, gt=0, le=60, description="Seconds between two looks for changes to publish or to hear.")
    snapshot_after: int = Field(default=2_000, ge=1, description="Published changes after which another snapshot is taken.")
    snapshots_kept: int = Field(default=3, ge=1, description="Newest snapshots that stay at publish_url; a reader may be as far behind.")

    milvus_url: str = Field(
        default="", description="Milvus at http(s)://[user:password@]host:port, or a milvus-lite file; empty: SQLite and FAISS."
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.milvus_url and (self.publish_url or self.follow_url):
            raise ValueError("milvus_url is set with publish_url or follow_url; Milvus replicates by itself, so leave those empty")
        if self.publish_url and self.follow_url:
            raise ValueError("follow_url and publish_url are both set; a read replica publishes nothing, so leave one of them empty")
        return self
