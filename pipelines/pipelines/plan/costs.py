"""Puts a plan together: pods onto the cheapest nodes, nodes into money, and the same for what-ifs. Knows no text."""

from dataclasses import dataclass, replace

from pipelines.plan import facts, needs, packing, profiles
from pipelines.plan.asked import Asked
from pipelines.plan.facts import FACTS, Instance, PlanRefused
from pipelines.plan.needs import Latency, Pods
from pipelines.plan.profiles import Server


@dataclass(frozen=True)
class Group:
    """Nodes of one type. `usd_per_hour` is that of all of them, on demand."""

    instance: Instance
    nodes: int
    holds: tuple[str, ...]

    @property
    def usd_per_hour(self) -> float:
        return self.nodes * (self.instance.usd_per_hour or 0)


@dataclass(frozen=True)
class Plan:
    """What one load needs. `server` and `latency` are None without an LLM pod."""

    asked: Asked
    server: Server | None
    latency: Latency | None
    llm_calls: float
    pods: tuple[Pods, ...]
    groups: tuple[Group, ...]

    @property
    def usd_per_hour(self) -> float:
        """On demand, all nodes."""
        return sum(group.usd_per_hour for group in self.groups)

    @property
    def discounted_usd_per_hour(self) -> float:
        return self.usd_per_hour * (1 - self.asked["discount"])

    @property
    def usd_per_month(self) -> float:
        """With the discount."""
        return self.discounted_usd_per_hour * self.asked["hours_per_month"]

    @property
    def usd_per_1000_recommendations(self) -> float:
        """With the discount, at the planned load."""
        return self.discounted_usd_per_hour / (self.asked["requests_per_second"] * 3.6)

    @property
    def usd_per_1000_expansions(self) -> float | None:
        """The nodes of the LLM alone, for each expansion that it makes; None without its own nodes or without calls."""
        own = sum(group.usd_per_hour for group in self.groups if group.holds == ("llm",))
        return own * (1 - self.asked["discount"]) / (self.llm_calls * 3.6) if own and self.llm_calls else None

    def replicas(self, name: str) -> int:
        return next((pods.replicas for pods in self.pods if pods.name == name), 0)


def plan(asked: Asked) -> Plan:
    """The cheapest of the known types for the asked load; raises `PlanRefused`."""
    model, calls = facts.model(asked.model), needs.llm_calls(asked)
    rows = profiles.read(asked.profiles)
    server = profiles.server(
        rows, asked.profile, model, asked.tensor_parallel_size, asked.sequences, asked.max_model_len, asked["device_memory_share"]
    )
    services = needs.service_pods(asked)
    if server is None or not calls:
        return Plan(asked, None, None, calls, tuple(services), (_services(asked, services),))
    if not server.device_resource:
        took = needs.latency(asked, server, model, asked.instances[FACTS["cpu_instances"][0]])
        everything = [*services, needs.llm_pods(asked, server, took)]
        return Plan(asked, server, took, calls, tuple(everything), (_services(asked, everything),))
    took, llm, group = _llm(asked, server, model)
    return Plan(asked, server, took, calls, (*services, llm), (_services(asked, services), group))


def _services(asked: Asked, pods: list[Pods]) -> Group:
    """The cheapest CPU type for all of them."""
    held = tuple(pod.name for pod in pods)
    found = [
        Group(instance, max(int(asked["cpu_nodes"]), count), held)
        for instance in (asked.instances[name] for name in FACTS["cpu_instances"])
        if (count := packing.mixed(pods, instance, asked["node_cpu"], asked["node_mib"]))
    ]
    return _cheapest(found, pods, FACTS["cpu_instances"])


def _llm(asked: Asked, server: Server, model: facts.Model) -> tuple[Latency, Pods, Group]:
    """The cheapest accelerated type; faster devices need fewer replicas, so each type is planned for itself."""
    types = server.instance_types or tuple(name for name, it in asked.instances.items() if it.device_resource == server.device_resource)
    found: dict[str, tuple[Latency, Pods, Group]] = {}
    for instance in (asked.instances[name] for name in types if name in asked.instances):
        took = needs.latency(asked, server, model, instance)
        pods = needs.llm_pods(asked, server, took)
        if count := packing.equal(pods, instance, asked["node_cpu"], asked["node_mib"]):
            found[instance.name] = (took, pods, Group(instance, count, ("llm",)))
    wanted = [Pods("llm", 1, server.cpu, server.mib, server.devices)]
    return found[_cheapest([group for _, _, group in found.values()], wanted, types).instance.name]


def _cheapest(found: list[Group], pods: list[Pods], tried: tuple[str, ...] | list[str]) -> Group:
    if not found:
        sizes = "; ".join(f"{pod.name} {pod.cpu:g} CPUs, {pod.mib:,} MiB, {pod.devices} devices" for pod in pods)
        raise PlanRefused(f"No node holds one pod of each: {sizes}. Tried {', '.join(tried)}; lower --items or the pod's size.")
    priced = [group for group in found if group.instance.usd_per_hour]
    if not priced:
        names = ", ".join(group.instance.name for group in found)
        raise PlanRefused(
            f"No price is known for {names} ({found[0].instance.price_source}). For example --price {found[0].instance.name}=40."
        )
    return min(priced, key=lambda group: (group.usd_per_hour, group.nodes))


def what_ifs(asked: Asked) -> dict[str, Plan | str]:
    """The same load under other circumstances; the reason where one can not be planned."""
    changed = {
        "as asked": asked,
        "no LLM (topics from the catalogue)": asked.with_inputs(llm_share=0),
        "cache hit rate 0.5": asked.with_inputs(cache_hit_rate=0.5),
        "one sequence at a time per replica": replace(asked, sequences=1),
        "twice the requests": asked.with_inputs(requests_per_second=asked["requests_per_second"] * 2),
    }
    for size in profiles.read(asked.profiles)[asked.profile]["tensor_parallel_sizes"]:
        changed[f"tensor parallel size {size}"] = replace(asked, tensor_parallel_size=size)
    return {name: _tried(each) for name, each in changed.items()}


def _tried(asked: Asked) -> Plan | str:
    try:
        return plan(asked)
    except PlanRefused as refused:
        return str(refused)
