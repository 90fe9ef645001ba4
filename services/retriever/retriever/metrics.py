"""Every metric of the retriever. Knows nothing of where they are measured."""

from collections.abc import Mapping, Sequence
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from retriever.backends.protocol import SpaceState
from servicekit.metrics import SECONDS_BUCKETS, HttpMetrics

POOL_BUCKETS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)

BUILD_BUCKETS = (0.3, 1, 3, 10, 30, 100, 300, 1_000)
"""Seconds; sealing 8,192 vectors takes less than one, a graph over a million some hundreds."""


class RetrieverMetrics(HttpMetrics):
    """The HTTP metrics and the retriever's own, in one registry."""

    def __init__(self) -> None:
        super().__init__("retriever")
        self.items = Gauge("retriever_items", "Items in the catalogue.", registry=self.registry)
        self.upserted = Counter("retriever_items_upserted", "Items added or replaced.", registry=self.registry)
        self.deleted = Counter("retriever_items_deleted", "Items deleted.", registry=self.registry)
        self.space_rows = Gauge("retriever_space_rows", "Rows of a space.", ("space",), registry=self.registry)
        self.stages = Histogram(
            "retriever_stage_duration_seconds",
            "Time of one stage of a retrieval.",
            ("stage",),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.candidates = Histogram(
            "retriever_candidates", "Items scored in every source for one retrieval.", buckets=POOL_BUCKETS, registry=self.registry
        )
        self.generation = Gauge("retriever_generation", "Writes that this process knows of.", registry=self.registry)
        self.replica_lag = Gauge(
            "retriever_replica_lag_seconds", "Time since this read replica was known to have all that is published.", registry=self.registry
        )
        self.unpublished = Gauge(
            "retriever_unpublished_seconds", "Age of the oldest change that this writer has not published.", registry=self.registry
        )
        self.published = Gauge(
            "retriever_published_generation", "The generation that this writer's read replicas can hear of.", registry=self.registry
        )
        self.failed_snapshots = Gauge(
            "retriever_failed_snapshots", "Snapshots beside the changes that failed since the last that did not.", registry=self.registry
        )
        self.segments = Gauge("retriever_segments", "Sealed segments of a vector space.", ("space",), registry=self.registry)
        self.unsealed = Gauge("retriever_unsealed_vectors", "Vectors in no sealed segment yet.", ("space",), registry=self.registry)
        self.dead = Gauge("retriever_dead_vectors", "Overwritten or deleted vectors still in segments.", ("space",), registry=self.registry)
        self.builds = Histogram(
            "retriever_index_build_duration_seconds",
            "Time to build a segment (seal) or the base of attributes (base), and whether that was done or failed.",
            ("work", "outcome"),  # not `job`, which Prometheus puts on every series and would rename
            buckets=BUILD_BUCKETS,
            registry=self.registry,
        )

        self._stage = cache(self.stages.labels)

    def show_stages(self, timings_ms: Mapping[str, float]) -> None:
        """The stages of one request."""
        for stage, milliseconds in timings_ms.items():
            self._stage(stage).observe(milliseconds / 1_000)

    def show(self, spaces: Sequence[SpaceState], generation: int) -> None:
        """Sets what can be read off the store at any time."""
        self.generation.set(generation)
        for state in spaces:
            self.space_rows.labels(state.name).set(state.rows)
            self.segments.labels(state.name).set(state.segments or 0)
            self.unsealed.labels(state.name).set(state.unsealed or 0)
            self.dead.labels(state.name).set(state.dead or 0)
