"""Writes the Grafana dashboards of the chart: which panels there are and how they lie. Knows nothing of where metrics come from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "warmstart" / "dashboards"
SCHEMA_VERSION = 39
"""That of Grafana 11; later ones migrate it when they load it."""
COLUMNS, WIDTH, HEIGHT = 3, 8, 7
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PUBLIC = 'route=~"/v1/.+|unmatched"'
FAILED = f'{PUBLIC}, status=~"5..|429"'
ASKED = 'route="/v1/recommendations"'
ANSWERED = 'route=~"/v1/recommendations|/v1/items/{item_id}/similar", status="200"'
OBJECTIVE = "99 % within 500 ms is the objective."
EVERY_NODE = "Of neuron-monitor, for every Neuron node of the cluster."
JOBS = {"retriever": 'job=~"$release-retriever(-reader)?"'}
"""Of components whose read replicas are another job."""
FREE = '{namespace="$namespace", persistentvolumeclaim=~"(.+-)?$release-.+"}'


@dataclass(frozen=True)
class Panel:
    """One graph: title, Grafana's name of the unit, and per line the expression and its legend."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    says: str


def graph(title: str, unit: str, *lines: tuple[str, str], says: str = "") -> Panel:
    return Panel(title, unit, lines, says)


def of(component: str, more: str = "") -> str:
    """The matchers of one component of the chosen release."""
    job = JOBS.get(component, f'job="$release-{component}"')
    return f'{{namespace="$namespace", {job}{more and ", " + more}}}'


def rate(metric: str, component: str, by: str = "", more: str = "") -> str:
    return f"sum{by and f' by ({by})'} (rate({metric}{of(component, more)}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """Each series of `part` over the one of `whole`."""
    return f"{part} / on () group_left () {whole}"


def quantile(at: float, metric: str, component: str, by: str = "", more: str = "") -> str:
    return f"histogram_quantile({at}, {rate(metric + '_bucket', component, f'{by}, le' if by else 'le', more)})"


def quantiles(metric: str, component: str, more: str = "") -> tuple[tuple[str, str], ...]:
    return tuple((quantile(at, metric, component, more=more), f"p{at * 100:.0f}") for at in (0.5, 0.95, 0.99))


def traffic(service: str, route: str) -> tuple[Panel, ...]:
    """What a service is asked and how fast it answers on its main route."""
    return (
        graph("Requests", "reqps", (rate(f"{service}_requests_total", service, "route, status", PUBLIC), "{{route}} {{status}}")),
        graph("Latency", "s", *quantiles(f"{service}_request_duration_seconds", service, f'route="{route}"'), says=f"Of {route}."),
    )


def pods(service: str) -> tuple[Panel, ...]:
    """What the pods of a service are busy with, refuse, and use."""
    cpu = f"sum by (pod) (rate(process_cpu_seconds_total{of(service)}[$__rate_interval]))"
    return (
        graph("In flight", "short", (f"sum by (pod) ({service}_requests_in_flight{of(service)})", "{{pod}}")),
        graph("Refused at admission", "reqps", (rate(f"{service}_requests_overloaded_total", service), "429")),
        graph("CPU", "short", (cpu, "{{pod}}"), says="CPUs in use per pod."),
        graph(
            "Memory", "bytes", (f"sum by (pod) (process_resident_memory_bytes{of(service)})", "{{pod}}"), says="Resident memory per pod."
        ),
    )


GATEWAY_ANSWERS = rate("gateway_requests_total", "gateway", more=ANSWERED)
GATEWAY_REQUESTS = rate("gateway_requests_total", "gateway", more=PUBLIC)
EXPANSIONS = rate("expander_expansions_total", "expander")

OVERVIEW = (
    graph("Requests", "reqps", (rate("gateway_requests_total", "gateway", "route", PUBLIC), "{{route}}")),
    graph(
        "Errors",
        "percentunit",
        (share(rate("gateway_requests_total", "gateway", "status", FAILED), GATEWAY_REQUESTS), "{{status}}"),
        says="Share of the requests answered 5xx or refused at admission (429); no data means none. Below 0.1 % is the objective.",
    ),
    graph("Recommendations", "s", *quantiles("gateway_request_duration_seconds", "gateway", ASKED), says=OBJECTIVE),
    graph(
        "Budget burn",
        "short",
        (f"warmstart:gateway_unavailable:ratio_rate1h{of('gateway')} / 0.001", "errors, 1 h"),
        (f"warmstart:gateway_slow:ratio_rate1h{of('gateway')} / 0.01", "latency, 1 h"),
        says="1 spends a month's budget in a month; 14.4 pages.",
    ),
    graph(
        "Degraded answers",
        "percentunit",
        (share(rate("gateway_degraded_total", "gateway", "stage"), GATEWAY_ANSWERS), "{{stage}}"),
        says="Share of the answers with a substitute for a stage.",
    ),
    graph(
        "Rungs",
        "reqps",
        (rate("gateway_recommendations_total", "gateway", "rung"), "rung {{rung}}"),
        says="How much was known of the users.",
    ),
    graph("Stages, p95", "s", (quantile(0.95, "gateway_stage_seconds", "gateway", "stage"), "{{stage}}")),
    graph("Pods scraped", "short", ('sum by (job) (up{namespace="$namespace", job=~"$release-.+"})', "{{job}}")),
    graph("Events stored", "reqps", (rate("gateway_events_stored_total", "gateway"), "events")),
    graph("Rows imported", "reqps", (rate("gateway_import_rows_total", "gateway", "kind, status"), "{{kind}} {{status}}")),
    *pods("gateway"),
)
EXPANDER = (
    *traffic("expander", "/v1/expand"),
    graph("Expansions", "reqps", (rate("expander_expansions_total", "expander", "source, outcome"), "{{source}} {{outcome}}")),
    graph(
        "Looked up in the cache",
        "percentunit",
        (
            share(rate("expander_cache_lookups_total", "expander", "tier, found"), rate("expander_cache_lookups_total", "expander")),
            "{{tier}} {{found}}",
        ),
    ),
    graph(
        "What the store of expansions does not do",
        "reqps",
        (rate("expander_cache_store_failures_total", "expander", "operation, reason"), "{{operation}} {{reason}}"),
    ),
    graph(
        "Calls to the LLM",
        "reqps",
        (rate("expander_llm_calls_total", "expander", "outcome"), "{{outcome}}"),
        (rate("expander_llm_unsent_total", "expander", "reason"), "not sent: {{reason}}"),
    ),
    graph("Time of a call", "s", *quantiles("expander_llm_seconds", "expander")),
    graph(
        "What was found in answers",
        "reqps",
        (rate("expander_llm_readings_total", "expander", "cause"), "{{cause}}"),
        (rate("expander_empty_expansions_total", "expander"), "no topics from anybody"),
    ),
    graph(
        "At the LLM, and waiting",
        "short",
        (f"sum by (pod) (expander_llm_permits_in_use{of('expander')})", "asked {{pod}}"),
        (f"sum by (pod, lane) (expander_llm_queue_waiting{of('expander')})", "waiting {{lane}} {{pod}}"),
    ),
    graph(
        "Breaker",
        "short",
        (f"sum by (state) (expander_llm_breaker_state{of('expander')})", "{{state}}"),
        says="Pods whose breaker is in each state; open leaves the LLM alone for seconds at a time.",
    ),
    graph(
        "Topics by what the catalogue calls them",
        "percentunit",
        (share(rate("expander_topics_total", "expander", "grounding"), rate("expander_topics_total", "expander")), "{{grounding}}"),
        says="Of new expansions. Much off_catalogue: the LLM talks past the catalogue.",
    ),
    graph(
        "Cost per 1,000 expansions",
        "short",
        (f"1000 * {rate('expander_llm_cost_total', 'expander')} / {rate('expander_llm_answers_total', 'expander')}", "asked"),
        (f"1000 * {rate('expander_llm_cost_total', 'expander')} / {EXPANSIONS}", "answered, with what was kept"),
        says="In the currency of llm_prices; nothing without them.",
    ),
    graph(
        "Tokens a second",
        "short",
        (rate("expander_llm_tokens_total", "expander", "kind"), "spent {{kind}}"),
        (rate("expander_llm_saved_tokens_total", "expander", "kind"), "saved {{kind}}"),
        says="Saved: what kept expansions would have cost again.",
    ),
    graph(
        "vLLM: requests",
        "short",
        (f"sum by (pod) (vllm:num_requests_running{of('llm')})", "running {{pod}}"),
        (f"sum by (pod) (vllm:num_requests_waiting{of('llm')})", "waiting {{pod}}"),
        says="Their sum is what the replicas scale on.",
    ),
    graph("vLLM: time to first token", "s", *quantiles("vllm:time_to_first_token_seconds", "llm")),
    graph("vLLM: time in the queue", "s", *quantiles("vllm:request_queue_time_seconds", "llm")),
    graph("vLLM: time of a request", "s", *quantiles("vllm:e2e_request_latency_seconds", "llm")),
    graph(
        "vLLM: tokens a second",
        "short",
        (rate("vllm:prompt_tokens_total", "llm"), "read"),
        (rate("vllm:generation_tokens_total", "llm"), "written"),
    ),
    graph("vLLM: why answers ended", "reqps", (rate("vllm:request_success_total", "llm", "finished_reason"), "{{finished_reason}}")),
    graph("vLLM: KV cache", "percentunit", (f"max by (pod) (vllm:kv_cache_usage_perc{of('llm')})", "{{pod}}")),
    graph(
        "Neuron: cores in use", "percentunit", ("avg by (instance_id) (neuroncore_utilization_ratio)", "{{instance_id}}"), says=EVERY_NODE
    ),
    graph(
        "Neuron: device memory",
        "bytes",
        ('sum by (instance_id) (neuron_runtime_memory_used_bytes{memory_location="neuron_device"})', "{{instance_id}}"),
        says=EVERY_NODE,
    ),
    *pods("expander"),
)
ENCODER = (
    *traffic("encoder", "/v1/embed"),
    graph(
        "Latency for OpenAI's clients",
        "s",
        *quantiles("encoder_request_duration_seconds", "encoder", 'route="/v1/embeddings"'),
        says="Of /v1/embeddings.",
    ),
    graph(
        "Passages embedded", "short", (rate("encoder_texts_total", "encoder", "pod"), "{{pod}}"), says="By the model, per second and pod."
    ),
    graph(
        "Passages answered without a run",
        "short",
        (rate("encoder_recent_hits_total", "encoder"), "embedded lately"),
        (rate("encoder_shared_texts_total", "encoder"), "equal to one that waited"),
        says="Per second.",
    ),
    graph(
        "Passages dropped",
        "short",
        (rate("encoder_dropped_texts_total", "encoder", "pod"), "{{pod}}"),
        says="Per second: their deadline passed, their caller left, or another passage of their request failed, before they were run.",
    ),
    graph("Passages held", "short", (f"sum by (pod) (encoder_queued_texts{of('encoder')})", "{{pod}}"), says="Accepted, not answered."),
    graph(
        "Tokens held",
        "short",
        (f"sum by (pod, priority) (encoder_queued_tokens{of('encoder')})", "{{pod}} {{priority}}"),
        says="Of the passages held. A pod refuses with 429 from max_queued_tokens on, and bulk requests from half of it.",
    ),
    graph("Wait in the queue", "s", *quantiles("encoder_queue_wait_seconds", "encoder"), says="Of online passages, for a batch to start."),
    graph("Wait in the queue, bulk", "s", *quantiles("encoder_bulk_queue_wait_seconds", "encoder"), says="Of x-priority: bulk."),
    graph("Time of tokenising", "s", *quantiles("encoder_tokenisation_seconds", "encoder"), says="A request's, with its look-up."),
    graph("Time of a batch", "s", *quantiles("encoder_inference_seconds", "encoder")),
    graph("Passages per batch", "short", (share(rate("encoder_texts_total", "encoder"), rate("encoder_batches_total", "encoder")), "mean")),
    graph(
        "Padding",
        "percentunit",
        (share(rate("encoder_padding_ratio_sum", "encoder"), rate("encoder_padding_ratio_count", "encoder")), "mean"),
        says="Share of the positions of a model run that held no token.",
    ),
    graph("Tokens", "short", (rate("encoder_tokens_total", "encoder"), "a second")),
    graph("Batches failed", "reqps", (rate("encoder_failed_batches_total", "encoder"), "batches")),
    graph(
        "Memory of recent embeddings",
        "bytes",
        (f"sum by (pod) (encoder_recent_bytes{of('encoder')})", "{{pod}}"),
        says="At most recent_bytes.",
    ),
    *pods("encoder"),
)
RETRIEVER = (
    *traffic("retriever", "/v1/retrieve"),
    graph("Stages, p95", "s", (quantile(0.95, "retriever_stage_duration_seconds", "retriever", "stage"), "{{stage}}")),
    graph("Items", "short", (f"max(retriever_items{of('retriever')})", "items")),
    graph("Rows per space", "short", (f"max by (space) (retriever_space_rows{of('retriever')})", "{{space}}")),
    graph("Items scored per retrieval", "short", *quantiles("retriever_candidates", "retriever")),
    graph(
        "Writes",
        "reqps",
        (rate("retriever_items_upserted_total", "retriever"), "added or replaced"),
        (rate("retriever_items_deleted_total", "retriever"), "deleted"),
    ),
    graph(
        "Generation",
        "short",
        (f"max by (pod) (retriever_generation{of('retriever')})", "{{pod}}"),
        (f"max(retriever_published_generation{of('retriever')})", "published"),
        says="Writes that a pod knows of; read replicas follow what is published.",
    ),
    graph(
        "Behind",
        "s",
        (f"max by (pod) (retriever_replica_lag_seconds{of('retriever-reader')})", "{{pod}}"),
        (f"max(retriever_unpublished_seconds{of('retriever')})", "not published"),
        says="Since a read replica was known to have all that is published; age of the oldest change that is not.",
    ),
    graph("Failed snapshots", "short", (f"max(retriever_failed_snapshots{of('retriever')})", "in a row")),
    graph("Segments", "short", (f"max by (space) (retriever_segments{of('retriever')})", "{{space}}")),
    graph(
        "Vectors outside segments",
        "short",
        (f"max by (space) (retriever_unsealed_vectors{of('retriever')})", "{{space}}"),
        says="Searched one by one until they are sealed, 8,192 or more at a time.",
    ),
    graph(
        "Dead vectors",
        "short",
        (f"max by (space) (retriever_dead_vectors{of('retriever')})", "{{space}}"),
        says="Overwritten or deleted, still in segments; a segment is built again when a quarter of it is dead.",
    ),
    graph("Builds", "short", (rate("retriever_index_build_duration_seconds_count", "retriever", "work, outcome"), "{{work}} {{outcome}}")),
    graph("Time of a build, p95", "s", (quantile(0.95, "retriever_index_build_duration_seconds", "retriever", "work"), "{{work}}")),
    graph(
        "Free space",
        "percentunit",
        (f"kubelet_volume_stats_available_bytes{FREE} / kubelet_volume_stats_capacity_bytes{FREE}", "{{persistentvolumeclaim}}"),
        says="Of every volume of the release; from the kubelet.",
    ),
    *pods("retriever"),
)
DASHBOARDS = {
    "overview": ("Warmstart / overview", OVERVIEW),
    "expander": ("Warmstart / expander and LLM", EXPANDER),
    "encoder": ("Warmstart / encoder", ENCODER),
    "retriever": ("Warmstart / retriever", RETRIEVER),
}


def variables() -> list[dict[str, Any]]:
    """Data source, namespace and release, in the order in which they are chosen."""
    ask = {"type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1}
    return [
        {"type": "datasource", "name": "datasource", "query": "prometheus"},
        {**ask, "name": "namespace", "query": "label_values(gateway_requests_total, namespace)"},
        {**ask, "name": "release", "query": 'label_values(up{namespace="$namespace", job=~".+-gateway"}, job)', "regex": "/(.*)-gateway/"},
    ]


def drawn(number: int, panel: Panel) -> dict[str, Any]:
    """The panel as Grafana reads it, at its place in the grid."""
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": {"x": number % COLUMNS * WIDTH, "y": number // COLUMNS * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + row), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
            for row, (expression, legend) in enumerate(panel.lines)
        ],
    }


def dashboard(name: str) -> dict[str, Any]:
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"warmstart-{name}",
        "title": title,
        "tags": ["warmstart"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": variables()},
        "links": [
            {"type": "dashboards", "title": "Warmstart", "tags": ["warmstart"], "keepTime": True, "includeVars": True, "asDropdown": True}
        ],
        "panels": [drawn(number, panel) for number, panel in enumerate(panels)],
    }


def text(name: str) -> str:
    """What the file of the dashboard holds."""
    return json.dumps(dashboard(name), indent=1) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name))


if __name__ == "__main__":
    main()
