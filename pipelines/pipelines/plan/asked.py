"""What was asked for: every input with its provenance, checked. Knows the ranges, not the formulas."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.plan import facts
from pipelines.plan.facts import FACTS, Input, Instance, PlanRefused
from pipelines.plan.profiles import PROFILES


@dataclass(frozen=True)
class Asked:
    """The inputs of one plan. `llm_latency_ms` is one expansion from call to answer; None takes a published or estimated one."""

    inputs: Mapping[str, Input]
    instances: Mapping[str, Instance]
    model: str = "llama-3.1-8b"
    profile: str = "trn1-sdk2.28"
    tensor_parallel_size: int | None = None
    sequences: int | None = None
    max_model_len: int | None = None
    llm_latency_ms: float | None = None
    profiles: Path = PROFILES
    given: frozenset[str] = field(default=frozenset())

    def __getitem__(self, name: str) -> float:
        return self.inputs[name].value

    def with_inputs(self, **changes: float) -> "Asked":
        """The same plan with other numbers, for a what-if. Raises `PlanRefused` for one that is out of range."""
        return replace(self, inputs={**self.inputs, **{name: _checked(name, value) for name, value in changes.items()}})


def asked(
    given: Mapping[str, float] | None = None,
    prices: Mapping[str, float] | None = None,
    *,
    model: str = "llama-3.1-8b",
    profile: str = "trn1-sdk2.28",
    tensor_parallel_size: int | None = None,
    sequences: int | None = None,
    max_model_len: int | None = None,
    llm_latency_ms: float | None = None,
    profiles: Path = PROFILES,
) -> Asked:
    """The defaults with what was given on top; raises `PlanRefused`, which names the value and the remedy."""
    chosen = dict(given or {})
    for name, value in {"tensor-parallel-size": tensor_parallel_size, "sequences": sequences, "max-model-len": max_model_len}.items():
        if value is not None and value < 1:
            raise PlanRefused(f"--{name} {value} must be 1 or more.")
    if llm_latency_ms is not None and not (math.isfinite(llm_latency_ms) and llm_latency_ms > 0):
        raise PlanRefused(f"--llm-latency-ms {llm_latency_ms} must be above 0: the milliseconds from call to answer.")
    return Asked(
        inputs={**facts.inputs(), **{name: _checked(name, value) for name, value in chosen.items()}},
        instances=_priced(prices or {}),
        model=model,
        profile=profile,
        tensor_parallel_size=tensor_parallel_size,
        sequences=sequences,
        max_model_len=max_model_len,
        llm_latency_ms=llm_latency_ms,
        profiles=profiles,
        given=frozenset(chosen),
    )


def _checked(name: str, value: float) -> Input:
    row = FACTS["inputs"][name]
    if not (math.isfinite(value) and row["minimum"] <= value <= row["maximum"]):
        flag = "--" + name.replace("_", "-")
        raise PlanRefused(f"{flag} {value:g} is outside {row['minimum']:g} to {row['maximum']:g}; it means: {row['unit']}.")
    return Input(value, row["unit"], "given", "this command")


def _priced(prices: Mapping[str, float]) -> dict[str, Instance]:
    known = facts.instances()
    for name, price in prices.items():
        if name not in known:
            raise PlanRefused(f"--price {name}={price:g} names an unknown type. Known: {', '.join(known)}.")
        if not (math.isfinite(price) and price > 0):
            raise PlanRefused(f"--price {name}={price:g} must be above 0, in US dollars an hour.")
        known[name] = replace(known[name], usd_per_hour=price, price_date="", price_source="given with this command")
    return known
