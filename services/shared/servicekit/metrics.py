"""The HTTP metrics every service has, and how they are exposed. Knows no service's own metrics."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """Counts and times requests by route; one registry per process, exposed at `/metrics`."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("method", "route", "status")
        self.requests = Counter(f"{service}_requests", "Requests answered.", labels, registry=self.registry)
        self.duration = Histogram(
            f"{service}_request_duration_seconds",
            "Time from the first byte in to the last byte out.",
            ("route",),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(f"{service}_requests_in_flight", "Requests being worked on.", registry=self.registry)
        self.overloaded = Counter(f"{service}_requests_overloaded", "Requests refused at admission.", registry=self.registry)
        self._requests_of, self._duration_of = cache(self.requests.labels), cache(self.duration.labels)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request. What labels stand for is looked up once: a lookup costs more than the counting."""
        self._requests_of(method, route, status).inc()
        self._duration_of(route).observe(seconds)
