"""How many nodes of one type hold some pods. Knows sizes, no load and no price."""

import math
from collections.abc import Iterable

from pipelines.plan.facts import Instance
from pipelines.plan.needs import Pods

SLACK = 1e-9


def mixed(pods: Iterable[Pods], instance: Instance, node_cpu: float, node_mib: float) -> int | None:
    """Nodes for different pods: first fit, largest first. `node_cpu` and `node_mib` go to DaemonSets; None where a pod is too large."""
    room = (instance.cpu - node_cpu, instance.mib - node_mib)
    sizes = [(pod.cpu, float(pod.mib)) for pod in pods for _ in range(pod.replicas)]
    if any(cpu > room[0] or mib > room[1] for cpu, mib in sizes):
        return None
    free: list[tuple[float, float]] = []
    for cpu, mib in sorted(sizes, key=lambda size: max(size[0] / room[0], size[1] / room[1]), reverse=True):
        place = next((number for number, left in enumerate(free) if cpu <= left[0] + SLACK and mib <= left[1] + SLACK), None)
        if place is None:
            place = len(free)
            free.append(room)
        free[place] = (free[place][0] - cpu, free[place][1] - mib)
    return len(free)


def equal(pods: Pods, instance: Instance, node_cpu: float, node_mib: float) -> int | None:
    """Nodes for equal pods that share them with no others; None where one is too large."""
    fits = [(instance.cpu - node_cpu) / pods.cpu, (instance.mib - node_mib) / pods.mib]
    fits += [instance.devices / pods.devices] if pods.devices else []
    each = math.floor(min(fits) + SLACK)
    return math.ceil(pods.replicas / each) if each else None
