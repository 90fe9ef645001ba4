"""The numbers that a plan starts from, each with where it comes from. Owns facts.json; of formulas only those of a node and a model."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = json.loads(Path(__file__).with_name("facts.json").read_text())
CPU_RESERVED = ((1, 0.06), (2, 0.01), (4, 0.005), (math.inf, 0.0025))
"""Share of each further CPU that the kubelet keeps, up to the count before it (Amazon EKS AMI, Karpenter)."""


class PlanRefused(Exception):
    """Names the value that can not be planned with, the reason, and what to give instead."""


@dataclass(frozen=True)
class Input:
    """One number with its unit, `kind` (given, measured here, published, assumption) and source."""

    value: float
    unit: str
    kind: str
    source: str


@dataclass(frozen=True)
class Instance:
    """An EC2 type. Memory in MiB, device memory and bandwidth of one device in GB and GB/s, price in US dollars an hour (None: unknown)."""

    name: str
    vcpu: int
    memory_mib: int
    max_pods: int
    device_resource: str
    devices: int
    device_memory_gb: float
    device_bandwidth_gb_s: float
    usd_per_hour: float | None
    price_date: str
    price_source: str

    @property
    def cpu(self) -> float:
        """CPUs that pods get: Karpenter's kube-reserved formula."""
        kept, counted = 0.0, 0.0
        for limit, share in CPU_RESERVED:
            step = max(0.0, min(self.vcpu, limit) - counted)
            kept, counted = kept + step * share, counted + step
        return self.vcpu - kept

    @property
    def mib(self) -> int:
        """Memory that pods get: Karpenter takes 7.5 % off, then 255 MiB and 11 for each possible pod, then 100 as eviction threshold."""
        return math.floor(self.memory_mib * 0.925 - 255 - 11 * self.max_pods - 100)


@dataclass(frozen=True)
class Model:
    """A language model at 2 bytes a weight."""

    name: str
    billions: float
    layers: int
    kv_heads: int
    head_dim: int

    @property
    def weight_gb(self) -> float:
        return self.billions * 2

    def device_gb(self, shards: int, tokens: int, sequences: int) -> float:
        """GB on each of `shards` devices or cores, for `sequences` of `tokens`; heads are not split, so small ones are held twice."""
        heads = math.ceil(self.kv_heads / shards)
        return self.weight_gb / shards + 2 * self.layers * heads * self.head_dim * 2 * tokens * sequences / 1e9


def inputs() -> dict[str, Input]:
    """The defaults of every input, by name."""
    return {name: Input(row["value"], row["unit"], row["kind"], row["source"]) for name, row in FACTS["inputs"].items()}


def instances() -> dict[str, Instance]:
    return {name: Instance(name=name, **row) for name, row in FACTS["instances"].items()}


def model(name: str) -> Model:
    """Raises `PlanRefused` for a name that is not in the table."""
    if name not in FACTS["models"]:
        raise PlanRefused(
            f"--model {name} is unknown. Known: {', '.join(FACTS['models'])}; add a row to pipelines/pipelines/plan/facts.json."
        )
    return Model(name=name, **FACTS["models"][name])
