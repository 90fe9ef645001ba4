"""Whole plans: one by hand, and what must hold of all."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.plan.asked import asked
from pipelines.plan.costs import Plan, plan, what_ifs
from pipelines.plan.facts import PlanRefused

LOADS = {
    "requests_per_second": st.floats(0.5, 200),
    "llm_share": st.floats(0, 1),
    "cache_hit_rate": st.floats(0, 1),
    "items": st.floats(1, 10_000),
}
PROFILES = st.sampled_from(["trn1-sdk2.28", "trn1-sdk2.31", "gpu", "external"])


def usd(load: dict[str, float], profile: str) -> float:
    try:
        return plan(asked(load, profile=profile)).usd_per_hour
    except PlanRefused:
        assume(False)
        raise


def test_the_example_costs_two_small_and_three_accelerated_nodes() -> None:
    made = plan(asked({"requests_per_second": 50, "llm_share": 0.3, "cache_hit_rate": 0.8, "items": 10_000}))
    assert [(group.instance.name, group.nodes) for group in made.groups] == [("m7i.xlarge", 2), ("trn1.2xlarge", 3)]
    assert made.usd_per_hour == pytest.approx(2 * 0.2016 + 3 * 1.34375)
    assert made.usd_per_month == pytest.approx(made.usd_per_hour * 730)
    assert made.usd_per_1000_recommendations == pytest.approx(made.usd_per_hour / 180)
    assert made.usd_per_1000_expansions == pytest.approx(3 * 1.34375 / 10.8)


def test_a_discount_takes_its_share_off_everything() -> None:
    full, less = plan(asked()), plan(asked({"discount": 0.25}))
    assert less.usd_per_hour == full.usd_per_hour
    assert less.usd_per_month == pytest.approx(0.75 * full.usd_per_month)
    assert less.usd_per_1000_recommendations == pytest.approx(0.75 * full.usd_per_1000_recommendations)


@pytest.mark.parametrize("without", [{"llm_share": 0.0}, {"cache_hit_rate": 1.0}])
def test_without_calls_there_is_no_accelerator(without: dict[str, float]) -> None:
    made = plan(asked(without))
    assert made.server is None
    assert [group.instance.device_resource for group in made.groups] == [""]


def test_someone_elses_llm_costs_no_node() -> None:
    assert plan(asked(profile="external")).usd_per_hour == plan(asked({"llm_share": 0})).usd_per_hour


def test_the_llm_of_the_cpu_profile_lies_among_the_services() -> None:
    made = plan(asked({"requests_per_second": 1}, profile="cpu", model="tinyllama-1.1b", llm_latency_ms=9000))
    assert len(made.groups) == 1
    assert "llm" in made.groups[0].holds


def test_a_price_that_is_given_decides() -> None:
    cheap = plan(asked(prices={"trn1.32xlarge": 0.01}))
    assert cheap.groups[1].instance.name == "trn1.32xlarge"
    assert plan(asked(prices={"trn2.48xlarge": 40.0}, profile="trn2")).groups[1].usd_per_hour == 40


def test_an_unknown_price_is_asked_for() -> None:
    with pytest.raises(PlanRefused, match=r"No price is known for trn2\.48xlarge.*--price trn2\.48xlarge="):
        plan(asked(profile="trn2"))


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(LOADS), st.floats(1, 4), PROFILES)
def test_more_load_never_costs_less(load: dict[str, float], times: float, profile: str) -> None:
    more = {**load, "requests_per_second": load["requests_per_second"] * times}
    assert usd(more, profile) >= usd(load, profile) - 1e-9


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(LOADS), st.floats(0, 1), PROFILES)
def test_a_higher_hit_rate_never_costs_more(load: dict[str, float], further: float, profile: str) -> None:
    higher = {**load, "cache_hit_rate": load["cache_hit_rate"] + (1 - load["cache_hit_rate"]) * further}
    assert usd(higher, profile) <= usd(load, profile) + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(LOADS), PROFILES)
def test_every_plan_holds_what_it_needs(load: dict[str, float], profile: str) -> None:
    try:
        made = plan(asked(load, profile=profile))
    except PlanRefused:
        assume(False)
        raise
    for group in made.groups:
        held = [pods for pods in made.pods if pods.name in group.holds]
        assert sum(pods.replicas * pods.cpu for pods in held) <= group.nodes * group.instance.cpu
        assert sum(pods.replicas * pods.mib for pods in held) <= group.nodes * group.instance.mib
        assert sum(pods.replicas * pods.devices for pods in held) <= group.nodes * group.instance.devices
    assert {pods.name for pods in made.pods if pods.replicas} == {name for group in made.groups for name in group.holds}


def test_the_what_ifs_differ_in_what_they_say() -> None:
    question = asked()
    others = what_ifs(question)
    alone = others["no LLM (topics from the catalogue)"]
    serial = others["one sequence at a time per replica"]
    assert isinstance(alone, Plan)
    assert isinstance(serial, Plan)
    assert alone.usd_per_hour < plan(question).usd_per_hour < serial.usd_per_hour
    assert others["as asked"] == plan(question)
    assert [name for name in others if name.startswith("tensor parallel")] == [f"tensor parallel size {size}" for size in (2, 8, 16, 32)]


def test_a_what_if_that_can_not_be_planned_says_why() -> None:
    refused = what_ifs(replace(asked(), model="llama-3.2-1b"))["as asked"]
    assert isinstance(refused, str)
    assert "does not compile" in refused
