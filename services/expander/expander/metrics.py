"""Every metric of the expander. Knows nothing of what is measured."""

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import HttpMetrics

LLM_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)


class ExpanderMetrics(HttpMetrics):
    """The HTTP metrics of every service, and who proposed topics, how well and how fast."""

    def __init__(self) -> None:
        super().__init__("expander")
        self.expansions = Counter(
            "expander_expansions",
            "Interests expanded; outcome is `proposed`, `cached`, or why the configured backend did not answer.",
            ("source", "outcome"),
            registry=self.registry,
        )
        self.empty = Counter("expander_empty_expansions", "Interests for which nobody proposed a topic.", registry=self.registry)
        self.cache_hits = Counter(
            "expander_cache_hits", "Expansions taken from the cache, `fresh` or `stale`.", ("age",), registry=self.registry
        )
        self.llm_calls = Counter("expander_llm_calls", "Requests to the LLM, by outcome.", ("outcome",), registry=self.registry)
        self.llm_seconds = Histogram(
            "expander_llm_seconds", "Time of one request to the LLM.", buckets=LLM_SECONDS_BUCKETS, registry=self.registry
        )
        self.invalid_answers = Counter("expander_invalid_answers", "Answers of the LLM without acceptable topics.", registry=self.registry)
        self.permits_in_use = Gauge("expander_llm_permits_in_use", "Expansions that wait for the LLM now.", registry=self.registry)
