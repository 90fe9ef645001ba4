"""From a load to pods: Little's law for the LLM, CPU time for the services, bytes for the retriever. Knows no node and no price."""

import math
from dataclasses import dataclass

from pipelines.plan.asked import Asked
from pipelines.plan.facts import FACTS, Instance, Model, PlanRefused
from pipelines.plan.profiles import Server

STATELESS = ("gateway", "encoder", "expander")


@dataclass(frozen=True)
class Pods:
    """`replicas` equal pods; CPUs, MiB and devices of each."""

    name: str
    replicas: int
    cpu: float
    mib: int
    devices: int = 0


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one expansion, and where they come from."""

    ms: float
    kind: str
    source: str


def llm_calls(asked: Asked) -> float:
    """Calls to the LLM a second: what is asked for and not cached."""
    return asked["requests_per_second"] * asked["llm_share"] * (1 - asked["cache_hit_rate"])


def latency(asked: Asked, server: Server, model: Model, instance: Instance) -> Latency:
    """Given, else published for the family and size (scaled by the weights of another model), else weights over memory bandwidth."""
    if asked.llm_latency_ms:
        return Latency(asked.llm_latency_ms, "given", "this command")
    published = FACTS["latencies"].get(instance.name.split(".")[0].removesuffix("n"), {"tensor_parallel_ms": {}})
    if found := published["tensor_parallel_ms"].get(str(server.tensor_parallel_size)):
        reference = FACTS["models"][published["model"]]["billions"]
        scaled = "" if model.name == published["model"] else f"; scaled by weights from {published['model']} (assumption)"
        return Latency(found * model.billions / reference, "assumption" if scaled else "published", published["source"] + scaled)
    if not instance.device_bandwidth_gb_s:
        raise PlanRefused(f"--profile {server.profile} has no published latency. Measure one expansion and give --llm-latency-ms.")
    reached = instance.device_bandwidth_gb_s * server.devices * asked["bandwidth_share"]
    estimate = asked["output_tokens"] * model.weight_gb / reached * 1000
    return Latency(estimate, "assumption", "output_tokens x weights / (device bandwidth x devices x bandwidth_share)")


def llm_pods(asked: Asked, server: Server, took: Latency) -> Pods:
    """Little's law: calls in flight = rate x time; with headroom, and spare pods; none where nobody calls."""
    calls = llm_calls(asked)
    in_flight = calls * took.ms / 1000
    replicas = math.ceil(in_flight / (server.sequences * asked["utilisation"])) + int(asked["spare_replicas"]) if calls else 0
    return Pods("llm", replicas, server.cpu, server.mib, server.devices)


def service_pods(asked: Asked) -> list[Pods]:
    """The stateless services and the retriever; raises `PlanRefused` where one retriever does not suffice."""
    return [*(_stateless(asked, name) for name in STATELESS), _retriever(asked)]


def _stateless(asked: Asked, name: str) -> Pods:
    busy = asked["requests_per_second"] * asked[f"{name}_cpu_ms"] / 1000
    needed = math.ceil(busy / (asked[f"{name}_cpu"] * asked["utilisation"])) + int(asked["spare_replicas"])
    return Pods(name, max(int(asked["service_replicas"]), needed), asked[f"{name}_cpu"], math.ceil(asked[f"{name}_mib"]))


def _retriever(asked: Asked) -> Pods:
    """One pod. It scores every item for every request, so its time is taken to grow with the items beyond the measured ones."""
    grown = max(1.0, asked["items"] / asked["measured_items"])
    busy = asked["requests_per_second"] * asked["retriever_cpu_ms"] * grown / 1000
    cpu = max(asked["retriever_cpu"], math.ceil(busy / asked["utilisation"]))
    if cpu > max(asked["retriever_cpu"], asked["retriever_cpu_limit"]):
        raise PlanRefused(
            f"--requests-per-second {asked['requests_per_second']:g} over --items {asked['items']:g} needs {cpu:g} CPUs"
            f" of the one retriever, which is trusted with {asked['retriever_cpu_limit']:g}. Lower one of them,"
            " or measure and give --retriever-cpu-ms and --measured-items."
        )
    held = asked["items"] * (asked["dimension"] * 4 * asked["embedding_copies"] + asked["neighbour_bytes"]) / 2**20
    return Pods("retriever", 1, cpu, math.ceil(asked["retriever_mib"] + held))
