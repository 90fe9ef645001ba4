"""Every metric of the retriever. Knows nothing of where they are measured."""

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS_BUCKETS, HttpMetrics

POOL_BUCKETS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


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
