"""Every metric of the encoder. Knows nothing of what is measured."""

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import SECONDS_BUCKETS, HttpMetrics


class EncoderMetrics(HttpMetrics):
    """The HTTP metrics of every service, and what the batches say of themselves."""

    def __init__(self) -> None:
        super().__init__("encoder")
        self.texts = Counter("encoder_texts", "Passages embedded.", registry=self.registry)
        self.batches = Counter("encoder_batches", "Batches given to the backend.", registry=self.registry)
        self.failed_batches = Counter("encoder_failed_batches", "Batches on which the backend failed.", registry=self.registry)
        self.tokens = Counter("encoder_tokens", "Tokens embedded, padding not counted.", registry=self.registry)
        self.padding = Histogram(
            "encoder_padding_ratio",
            "Share of the positions of one model run that were padding.",
            buckets=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75),
            registry=self.registry,
        )
        self.queued_texts = Gauge("encoder_queued_texts", "Passages accepted and not yet answered.", registry=self.registry)
        self.queue_wait = Histogram(
            "encoder_queue_wait_seconds",
            "How long the longest-waiting passage of a batch waited for it to start.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.inference = Histogram(
            "encoder_inference_seconds",
            "Time the backend took for one batch, tokenisation included.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )

    def observe_run(self, tokens: int, positions: int) -> None:
        """One model run over `positions` places of which `tokens` held a token."""
        self.tokens.inc(tokens)
        self.padding.observe(1 - tokens / positions)
