"""A plan as a table to read, as JSON, and as values for the chart. Computes nothing."""

import json
from collections.abc import Mapping
from typing import Any

from pipelines.plan.costs import Plan
from pipelines.plan.facts import FACTS

LEFT_OUT = (
    "Not in it: the EKS control plane, EBS and EFS, load balancer, NAT, traffic, PostgreSQL, monitoring, warm capacity,"
    " an external LLM's bill."
)


def text(plan: Plan, others: Mapping[str, Plan | str]) -> str:
    """Needs, nodes, money, what-ifs, then every input with its provenance."""
    notes = Footnotes()
    parts = [_title(plan, notes), _needs(plan), _nodes(plan, notes), _money(plan), _what_ifs(others), _inputs(plan, notes), *_notes(plan)]
    return "\n\n".join([*parts, notes.text()]) + "\n"


class Footnotes:
    """Sources by number, so that a long one is printed once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, source: str) -> str:
        """`[3]` for a long source, a short one as it is."""
        return source if len(source) < 60 else f"[{self._numbers.setdefault(source, len(self._numbers) + 1)}]"

    def text(self) -> str:
        return "\n".join(f"[{number}] {source}" for source, number in self._numbers.items())


def document(plan: Plan, others: Mapping[str, Plan | str]) -> dict[str, Any]:
    """The same for programs; money in US dollars."""
    return {
        **_summary(plan),
        "model": plan.asked.model,
        "profile": plan.asked.profile,
        "latency_ms": plan.latency and {"value": plan.latency.ms, "kind": plan.latency.kind, "source": plan.latency.source},
        "pods": [vars(pods) for pods in plan.pods],
        "nodes": [
            {"type": group.instance.name, "count": group.nodes, "usd_per_hour": group.usd_per_hour, "holds": list(group.holds)}
            | {"price_date": group.instance.price_date, "price_source": group.instance.price_source}
            for group in plan.groups
        ],
        "what_ifs": {name: other if isinstance(other, str) else _summary(other) for name, other in others.items()},
        "inputs": {name: vars(given) for name, given in plan.asked.inputs.items()},
        "left_out": LEFT_OUT,
    }


def values(plan: Plan) -> str:
    """A values file for the chart: replicas, autoscaling from there to twice as many, and what the retriever needs."""
    services: dict[str, Any] = {"gateway": {"replicas": plan.replicas("gateway")}}
    percent = round(plan.asked["utilisation"] * 100)
    for name in ("encoder", "expander"):
        count = plan.replicas(name)
        scaling = {"enabled": True, "minReplicas": count, "maxReplicas": 2 * count, "cpuPercent": percent}
        services[name] = {"replicas": count, "autoscaling": scaling}
    retriever = next(pods for pods in plan.pods if pods.name == "retriever")
    requests = {"cpu": f"{retriever.cpu:g}", "memory": f"{retriever.mib}Mi"}
    services["retriever"] = {"replicas": 1, "resources": {"requests": requests, "limits": {"memory": f"{max(4096, 2 * retriever.mib)}Mi"}}}
    chosen: dict[str, Any] = {"services": services}
    if plan.server:
        server = plan.server
        sizes = {"tensorParallelSize": server.tensor_parallel_size, "maxModelLen": server.max_model_len, "maxNumSeqs": server.sequences}
        chosen["llm"] = {"profile": server.profile, "replicas": plan.replicas("llm"), **sizes}
    return "# Printed by `python -m pipelines plan --values`; add it with -f.\n" + _yaml(chosen, 0)


def _yaml(tree: Mapping[str, Any], depth: int) -> str:
    """Block style for mappings, JSON for the rest; JSON scalars are YAML."""
    lines = []
    for key, value in tree.items():
        inner = "\n" + _yaml(value, depth + 2) if isinstance(value, dict) else f" {json.dumps(value)}\n"
        lines.append(f"{' ' * depth}{key}:{inner}")
    return "".join(lines)


def _summary(plan: Plan) -> dict[str, Any]:
    return {
        "llm_calls_per_second": plan.llm_calls,
        "llm_replicas": plan.replicas("llm"),
        "usd_per_hour": plan.usd_per_hour,
        "discounted_usd_per_hour": plan.discounted_usd_per_hour,
        "usd_per_month": plan.usd_per_month,
        "usd_per_1000_recommendations": plan.usd_per_1000_recommendations,
        "usd_per_1000_expansions": plan.usd_per_1000_expansions,
    }


def _title(plan: Plan, notes: Footnotes) -> str:
    asked = plan.asked
    lines = [f"{asked['requests_per_second']:g} recommendations/s, {asked.model} on {asked.profile}; {plan.llm_calls:g} LLM calls/s"]
    if plan.server and plan.latency:
        lines.append(f"one expansion {plan.latency.ms:,.0f} ms ({plan.latency.kind}: {notes.mark(plan.latency.source)})")
        lines.append(f"tensor parallel size {plan.server.tensor_parallel_size}, {plan.server.sequences} sequences at once per replica")
    return "\n".join(lines)


def _needs(plan: Plan) -> str:
    rows = [f"  {'pods':<12}{'replicas':>9}{'CPUs':>8}{'MiB':>10}{'devices':>9}   (of each)"]
    rows += [f"  {pods.name:<12}{pods.replicas:>9}{pods.cpu:>8g}{pods.mib:>10,}{pods.devices:>9}" for pods in plan.pods]
    return "\n".join(rows)


def _nodes(plan: Plan, notes: Footnotes) -> str:
    rows = [f"  {'nodes':<14}{'count':>6}{'USD/h each':>12}{'USD/h':>10}   holds; price"]
    for group in plan.groups:
        type_, held = group.instance, ", ".join(group.holds)
        priced = f"{type_.price_date} {notes.mark(type_.price_source)}".strip()
        rows.append(f"  {type_.name:<14}{group.nodes:>6}{type_.usd_per_hour or 0:>12.4f}{group.usd_per_hour:>10.2f}   {held}; {priced}")
    return "\n".join(rows)


def _money(plan: Plan) -> str:
    hourly, month = plan.usd_per_hour, plan.asked["hours_per_month"]
    rows = [f"  on demand                      {hourly:>12,.2f} USD/h {hourly * month:>14,.0f} USD/month"]
    if plan.asked["discount"]:
        name = f"with {plan.asked['discount']:.0%} discount"
        rows.append(f"  {name:<31}{plan.discounted_usd_per_hour:>12,.2f} USD/h {plan.usd_per_month:>14,.0f} USD/month")
    rows.append(f"  1,000 recommendations          {plan.usd_per_1000_recommendations:>12.4f} USD")
    if (each := plan.usd_per_1000_expansions) is not None:
        rows.append(f"  1,000 expansions made          {each:>12.4f} USD (the LLM's nodes alone)")
    return "\n".join(rows)


def _what_ifs(others: Mapping[str, Plan | str]) -> str:
    rows = [f"  {'what if':<38}{'ms':>7}{'core-s':>8}{'LLM pods':>10}{'USD/month':>12}{'1,000 rec.':>12}{'1,000 exp.':>12}"]
    for name, other in others.items():
        if isinstance(other, str):
            rows.append(f"  {name:<38} refused: {other}")
            continue
        took, cores = ("-", "-")
        if other.latency and other.server:
            took = f"{other.latency.ms:,.0f}"
            cores = f"{other.latency.ms * other.server.tensor_parallel_size / 1000:.1f}"
        each = "-" if other.usd_per_1000_expansions is None else f"{other.usd_per_1000_expansions:.4f}"
        pods, month = other.replicas("llm"), other.usd_per_month
        rows.append(f"  {name:<38}{took:>7}{cores:>8}{pods:>10}{month:>12,.0f}{other.usd_per_1000_recommendations:>12.4f}{each:>12}")
    return "\n".join(rows)


def _inputs(plan: Plan, notes: Footnotes) -> str:
    rows = ["  inputs (each has an option of its name)"]
    for name, given in plan.asked.inputs.items():
        rows.append(f"  {name:<22}{given.value:>10g}  {given.unit}; {given.kind}: {notes.mark(given.source)}")
    return "\n".join([*rows, f"  models: {FACTS['model_source']}", f"  types: {FACTS['instance_source']}"])


def _notes(plan: Plan) -> list[str]:
    notes = [LEFT_OUT, *(plan.server.notes if plan.server else ())]
    if plan.replicas("gateway") > 2:
        notes.append("More than 2 gateways belong on several nodes: set postgresql.existingSecret, without it they share one.")
    return notes
