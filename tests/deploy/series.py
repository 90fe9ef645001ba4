"""Which series there are to ask for: those our services expose, and those of others with their source. Knows nothing of who asks."""

import importlib
from collections.abc import Iterator
from functools import cache

from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

SERVICES = ("gateway", "encoder", "expander", "retriever")
TARGET = {"namespace", "job", "pod", "service", "endpoint", "container", "instance"}
"""What the Prometheus operator puts on every series of a ServiceMonitor."""

PROMETHEUS = {"up": set[str]()}
"""Prometheus documentation, "Jobs and instances"."""

_OF_MODEL = {"model_name", "engine"}
_TIMES = ("time_to_first_token_seconds", "request_queue_time_seconds", "e2e_request_latency_seconds")
VLLM = {
    "vllm:num_requests_running": _OF_MODEL,
    "vllm:num_requests_waiting": _OF_MODEL,
    "vllm:kv_cache_usage_perc": _OF_MODEL,
    "vllm:prompt_tokens_total": _OF_MODEL,
    "vllm:generation_tokens_total": _OF_MODEL,
    "vllm:request_success_total": _OF_MODEL | {"finished_reason"},
    **{f"vllm:{time}_bucket": _OF_MODEL | {"le"} for time in _TIMES},
}
"""vllm-project/vllm, vllm/v1/metrics/loggers.py; prometheus_client adds `_total` and `_bucket`."""

KUBE_STATE_METRICS = {
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
    "kube_deployment_status_replicas_available": {"namespace", "deployment"},
    "kube_job_failed": {"namespace", "job_name", "condition"},
    "kube_cronjob_created": {"namespace", "cronjob"},
    "kube_cronjob_next_schedule_time": {"namespace", "cronjob"},
    "kube_cronjob_status_last_schedule_time": {"namespace", "cronjob"},
    "kube_cronjob_status_last_successful_time": {"namespace", "cronjob"},
    "kube_horizontalpodautoscaler_status_desired_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_status_condition": {"namespace", "horizontalpodautoscaler", "condition", "status"},
}
"""kubernetes/kube-state-metrics, docs/metrics/workload/*.md."""

KUBELET = {
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
}
"""kubernetes/kubernetes, pkg/kubelet/metrics/collectors/volume_stats.go."""

_INSTANCE = {"instance_id", "instance_name", "instance_type", "availability_zone", "region", "subnet_id"}
NEURON_MONITOR = {
    "neuroncore_utilization_ratio": _INSTANCE | {"runtime_tag", "neuroncore"},
    "neuron_runtime_memory_used_bytes": _INSTANCE | {"runtime_tag", "memory_location"},
    "execution_errors_total": _INSTANCE | {"runtime_tag", "error_type"},
    "hardware_ecc_events_total": _INSTANCE | {"neuron_device_index", "event_type"},
}
"""neuron-monitor-prometheus.py of aws-neuronx-tools; the names also stand in the OpenTelemetry Collector's awsneuron receiver."""

CLUSTER_WIDE = NEURON_MONITOR.keys()
"""Series that do not carry the namespace of the pods they are about."""


def exposed(service: str) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of every sample that `/metrics` of the service can show, by its name."""
    module = importlib.import_module(f"{service}.metrics")
    metrics = getattr(module, f"{service.capitalize()}Metrics")()
    for metric in list(metrics.registry._collector_to_names):
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:  # a labelled metric shows no sample before its first child
            metric.labels(*metric._labelnames)
    return dict(_samples(generate_latest(metrics.registry).decode()))


def _samples(text: str) -> Iterator[tuple[str, tuple[str, set[str]]]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, (family.type, set(sample.labels))


@cache
def known() -> dict[str, set[str]]:
    """Labels of every series that rules and dashboards may ask for, by name."""
    ours = {name: labels | TARGET for service in SERVICES for name, (_, labels) in exposed(service).items()}
    vllm = {name: labels | TARGET for name, labels in VLLM.items()}
    up = {name: labels | TARGET for name, labels in PROMETHEUS.items()}
    return ours | vllm | up | KUBE_STATE_METRICS | KUBELET | NEURON_MONITOR
