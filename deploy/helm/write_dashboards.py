"""Writes the Grafana dashboards of the chart: which panels there are and how they lie. Knows nothing of where metrics come from."""

import json
from pathlib import Path
from typing import Any

from panels import PUBLIC, Panel, graph, of, pods, quantile, quantiles, rate, share, traffic
from panels_expander import EXPANDER

FOLDER = Path(__file__).parent / "warmstart" / "dashboards"
SCHEMA_VERSION = 39
"""That of Grafana 11; later ones migrate it when they load it."""
COLUMNS, WIDTH, HEIGHT = 3, 8, 7
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
FAILED = f'{PUBLIC}, status=~"5..|429"'
ASKED = 'route="/v1/recommendations"'
ANSWERED = 'route=~"/v1/recommendations|/v1/items/{item_id}/similar", status="200"'
OBJECTIVE = "99 % within 500 ms is the objective."
FREE = '{namespace="$namespace", persistentvolumeclaim=~"(.+-)?$release-.+"}'


GATEWAY_ANSWERS = rate("gateway_requests_total", "gateway", more=ANSWERED)
GATEWAY_REQUESTS = rate("gateway_requests_total", "gateway", more=PUBLIC)

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
