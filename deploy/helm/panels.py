"""What panels of the dashboards are made of: graphs, and the PromQL that most of them share. Knows no dashboard."""

from dataclasses import dataclass

PUBLIC = 'route=~"/v1/.+|unmatched"'
JOBS = {"retriever": 'job=~"$release-retriever(-reader)?"'}
"""Of components whose read replicas are another job."""


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
