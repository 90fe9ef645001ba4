"""What calls cost and what kept expansions save, as metrics."""

import pytest
from prometheus_client import CollectorRegistry

from expander.costs import Costs
from expander.metrics import LlmMetrics
from expander.readings import Completion
from expander.settings import Price

PRICES = {"small": Price(prompt_per_million=0.5, completion_per_million=2.0), "*": Price(prompt_per_million=10, completion_per_million=10)}


def counted(model: str, prices: dict[str, Price] = PRICES) -> tuple[Costs, CollectorRegistry]:
    registry = CollectorRegistry()
    return Costs(prices, model, LlmMetrics(registry)), registry


def test_tokens_are_priced_by_kind_and_model() -> None:
    costs, registry = counted("small")
    costs.spent(Completion("", prompt_tokens=1_000_000, completion_tokens=500_000))
    assert registry.get_sample_value("expander_llm_tokens_total", {"kind": "prompt"}) == 1_000_000
    assert registry.get_sample_value("expander_llm_tokens_total", {"kind": "completion"}) == 500_000
    assert registry.get_sample_value("expander_llm_cost_total") == pytest.approx(1.5)


@pytest.mark.parametrize(("prices", "cost"), [(PRICES, 10.0), ({}, 0.0), ({"small": PRICES["small"]}, 0.0)])
def test_a_model_without_a_price_has_that_of_any_or_none(prices: dict[str, Price], cost: float) -> None:
    costs, registry = counted("other", prices)
    costs.spent(Completion("", prompt_tokens=1_000_000))
    assert registry.get_sample_value("expander_llm_cost_total") == cost


def test_a_thousand_expansions_cost_what_all_calls_cost_also_the_useless_ones() -> None:
    costs, registry = counted("small")
    for _ in range(4):
        costs.spent(Completion("", prompt_tokens=200, completion_tokens=100))
    assert registry.get_sample_value("expander_llm_cost_per_thousand_expansions") == 0
    costs.answered()
    costs.answered()
    assert registry.get_sample_value("expander_llm_cost_per_thousand_expansions") == pytest.approx(1_000 * 4 * 0.0003 / 2)
    costs.spent(Completion("", prompt_tokens=200, completion_tokens=100))
    assert registry.get_sample_value("expander_llm_cost_per_thousand_expansions") == pytest.approx(1_000 * 5 * 0.0003 / 2)


def test_what_is_kept_saves_what_it_took_to_make() -> None:
    costs, registry = counted("small")
    costs.saved(300, 100)
    costs.saved(50)
    assert registry.get_sample_value("expander_llm_saved_tokens_total", {"kind": "prompt"}) == 250
    assert registry.get_sample_value("expander_llm_saved_tokens_total", {"kind": "completion"}) == 100
    assert registry.get_sample_value("expander_llm_saved_cost_total") == pytest.approx((250 * 0.5 + 100 * 2) / 1e6)
    assert registry.get_sample_value("expander_llm_cost_total") == 0
