"""Every metric of the gateway. Knows nothing of how recommendations are made."""

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Histogram

from servicekit.metrics import SECONDS_BUCKETS, HttpMetrics


class GatewayMetrics(HttpMetrics):
    """The metrics all services have, and the gateway's own."""

    def __init__(self) -> None:
        super().__init__("gateway")
        self.recommendations = Counter("gateway_recommendations", "Recommendations answered.", ("rung",), registry=self.registry)
        self.degraded = Counter("gateway_degraded", "Answers in which a stage was substituted.", ("stage",), registry=self.registry)
        self.stage_seconds = Histogram(
            "gateway_stage_seconds", "Time a stage took.", ("stage",), buckets=SECONDS_BUCKETS, registry=self.registry
        )
        self.import_rows = Counter("gateway_import_rows", "Rows of bulk imports.", ("kind", "status"), registry=self.registry)
        self.events_stored = Counter("gateway_events_stored", "New events stored.", registry=self.registry)

    def answered(self, stages: Iterable[str], timings_ms: Mapping[str, float]) -> None:
        """Counts the substituted `stages` of one answer and its stage times."""
        for stage in stages:
            self.degraded.labels(stage).inc()
        for stage, milliseconds in timings_ms.items():
            self.stage_seconds.labels(stage).observe(milliseconds / 1_000)
