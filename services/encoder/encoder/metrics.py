"""Every metric of the encoder. Knows nothing of what is measured."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS_BUCKETS, HttpMetrics


class EncoderMetrics(HttpMetrics):
    """The HTTP metrics of every service, and what the batches say of themselves."""

    def __init__(self) -> None:
        super().__init__("encoder")
        self._count_work()
        self._measure_queue()
        self._time_stages()

    def _count_work(self) -> None:
        self.texts = Counter("encoder_texts", "Passages embedded by the model.", registry=self.registry)
        self.batches = Counter("encoder_batches", "Batches given to the backend.", registry=self.registry)
        self.failed_batches = Counter("encoder_failed_batches", "Batches on which the backend failed.", registry=self.registry)
        self.tokens = Counter("encoder_tokens", "Tokens embedded, padding not counted.", registry=self.registry)
        self.padding = Histogram(
            "encoder_padding_ratio",
            "Share of the positions of one model run that were padding.",
            buckets=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75),
            registry=self.registry,
        )
        self.recent_hits = Counter("encoder_recent_hits", "Passages answered from recent embeddings.", registry=self.registry)
        self.recent_bytes = Gauge("encoder_recent_bytes", "Memory of the recent embeddings.", registry=self.registry)
        self.shared_texts = Counter(
            "encoder_shared_texts", "Passages that took the embedding of an equal one that waited already.", registry=self.registry
        )
        self.dropped_texts = Counter(
            "encoder_dropped_texts",
            "Passages that nobody waited for any more before they were embedded: too late, their caller left, or failed.",
            registry=self.registry,
        )

    def _measure_queue(self) -> None:
        self.queued_texts = Gauge("encoder_queued_texts", "Passages accepted and not yet answered.", registry=self.registry)
        queued_tokens = Gauge("encoder_queued_tokens", "Tokens of them, by priority.", ("priority",), registry=self.registry)
        self.queued_tokens_of = cache(queued_tokens.labels)
        self.queue_wait = self._seconds("queue_wait", "How long the longest-waiting online passage of a batch waited for it to start.")
        self.bulk_queue_wait = self._seconds("bulk_queue_wait", "How long the longest-waiting bulk passage of a batch waited for it.")

    def _time_stages(self) -> None:
        self.tokenisation = self._seconds("tokenisation", "Time a request took to be looked up among the recent ones and tokenised.")
        self.inference = self._seconds("inference", "Time the backend took for one batch, tokenisation not included.")

    def _seconds(self, name: str, says: str) -> Histogram:
        return Histogram(f"encoder_{name}_seconds", says, buckets=SECONDS_BUCKETS, registry=self.registry)

    def observe_run(self, tokens: int, positions: int) -> None:
        """One model run over `positions` places of which `tokens` held a token."""
        self.tokens.inc(tokens)
        self.padding.observe(1 - tokens / positions)
