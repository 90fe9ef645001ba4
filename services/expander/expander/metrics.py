"""Every metric of the expander. Knows nothing of what is measured."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from servicekit.metrics import HttpMetrics

LLM_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)


QUEUE_SECONDS_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BREAKER_STATES = ("closed", "half_open", "open")
FINDINGS = ("unknown", "honoured", "ignored", "refused")


class LlmMetrics:
    """What is asked of the LLM, what is not, what it answers and costs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "expander_llm_calls",
            "Requests to the LLM, by outcome: `answered` (with whatever text), `unreachable`, `late`, `refused`, `invalid`, `abandoned`.",
            ("outcome",),
            registry=registry,
        )
        self.unsent = Counter(
            "expander_llm_unsent",
            "Questions that were given up before a request: `busy`, `late` (in the queue), `over_budget`, `shut` (breaker), `abandoned`.",
            ("reason",),
            registry=registry,
        )
        self.seconds = Histogram("expander_llm_seconds", "Time of one request to the LLM.", buckets=LLM_SECONDS_BUCKETS, registry=registry)
        self.readings = Counter(
            "expander_llm_readings", "Answers by what was found in them; see `readings.Reading`.", ("cause",), registry=registry
        )
        self.invalid_answers = Counter("expander_invalid_answers", "Answers of the LLM with nothing acceptable.", registry=registry)
        self.permits_in_use = Gauge("expander_llm_permits_in_use", "Questions that the LLM works on now.", registry=registry)
        self.waiting = Gauge("expander_llm_queue_waiting", "Questions that wait for their turn.", ("lane",), registry=registry)
        self.queue_seconds = Histogram(
            "expander_llm_queue_wait_seconds",
            "Time that a question waited for its turn.",
            ("lane",),
            buckets=QUEUE_SECONDS_BUCKETS,
            registry=registry,
        )
        self.retries = Counter(
            "expander_llm_retries",
            "Second calls for one question, after an unusable answer or as a hedge: `accepted`, `failed`, or `no_budget` (not sent).",
            ("kind", "outcome"),
            registry=registry,
        )
        self.breaker_state = Gauge("expander_llm_breaker_state", "1 for the state that the breaker is in.", ("state",), registry=registry)
        self.breaker_openings = Counter("expander_llm_breaker_openings", "How often the breaker opened.", registry=registry)
        self.structured = Gauge(
            "expander_llm_structured_output", "1 for what the canary found of `response_format`.", ("found",), registry=registry
        )
        self.tokens = Counter(
            "expander_llm_tokens", "Tokens as the LLM counted them, `prompt` or `completion`.", ("kind",), registry=registry
        )
        self.cost = Counter("expander_llm_cost", "Price of those tokens, in the currency of EXPANDER_LLM_PRICES.", registry=registry)
        self.answers = Counter("expander_llm_answers", "Questions that the LLM answered acceptably.", registry=registry)
        self.cost_per_thousand = Gauge(
            "expander_llm_cost_per_thousand_expansions",
            "Price of all tokens since the start, also of unusable answers, per 1,000 questions answered acceptably.",
            registry=registry,
        )
        self.saved_tokens = Counter(
            "expander_llm_saved_tokens", "Tokens that kept expansions did not cost again, by kind.", ("kind",), registry=registry
        )
        self.saved_cost = Counter("expander_llm_saved_cost", "Price of the tokens saved.", registry=registry)


class CacheMetrics:
    """What is found of kept expansions, where, and what the store beyond this process can not do."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lookups = Counter(
            "expander_cache_lookups",
            "Interests looked up, by where they were found (`memory`, `store`, `none`) and as what (`fresh`, `stale`, `negative`, "
            "`missing`).",
            ("tier", "found"),
            registry=registry,
        )
        self.entries = Gauge("expander_cache_entries", "Expansions in memory.", registry=registry)
        self.store_failures = Counter(
            "expander_cache_store_failures",
            "What the store did not do, by operation and reason: `unreachable`, `refused`, `unreadable` (a value that is none of ours), "
            "`skipped` (left alone for a second after it was unreachable), `busy` (too much at once from here).",
            ("operation", "reason"),
            registry=registry,
        )
        self.waits = Counter(
            "expander_cache_waits",
            "Calls that another replica was already making: `spared` by its answer, or `taken_over`.",
            ("outcome",),
            registry=registry,
        )


class ExpanderMetrics(HttpMetrics):
    """The HTTP metrics of every service, and who proposed topics, how well and how fast."""

    def __init__(self) -> None:
        super().__init__("expander")
        self.expansions = Counter(
            "expander_expansions",
            "Interests expanded; outcome is `proposed`, `cached`, `stale`, `pending` or `off` (by mode), or why the LLM did not answer.",
            ("source", "outcome"),
            registry=self.registry,
        )
        self.empty = Counter("expander_empty_expansions", "Interests for which nobody proposed a topic.", registry=self.registry)
        self.cache = CacheMetrics(self.registry)
        self.llm = LlmMetrics(self.registry)
        self.topics = Counter(
            "expander_topics",
            "Topics of the LLM by what they are in the catalogue: `subject`, `author` or `off_catalogue`.",
            ("grounding",),
            registry=self.registry,
        )
        self.near_synonyms = Counter(
            "expander_near_synonyms", "Topics left out because they meant the same as an earlier one.", registry=self.registry
        )
        self.comparisons = Counter(
            "expander_topic_comparisons",
            "Sets of topics compared by meaning: `compared`, or why the encoder did not help (`unreachable`, `late`, `refused`).",
            ("outcome",),
            registry=self.registry,
        )
        self.enrichments = Counter(
            "expander_enrichments",
            "Items that the LLM was asked about, by outcome: `made`, or why there is none (`invalid`, `late`, `busy`, ...).",
            ("outcome",),
            registry=self.registry,
        )
        tasks = Gauge("expander_tasks", "Tasks of the event loop: what is asked behind answers is among them.", registry=self.registry)
        tasks.set_function(_tasks)


def _tasks() -> int:
    """Those that have not ended; 0 outside of an event loop."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
