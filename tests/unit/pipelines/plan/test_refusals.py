"""What can not be planned is refused with the value and the remedy."""

from pathlib import Path

import pytest

from pipelines.plan.asked import asked
from pipelines.plan.costs import plan
from pipelines.plan.facts import FACTS, PlanRefused


@pytest.mark.parametrize("name", list(FACTS["inputs"]))
@pytest.mark.parametrize("beyond", [float("nan"), float("inf"), -1.0])
def test_every_input_refuses_what_no_number_of_its_kind_can_be(name: str, beyond: float) -> None:
    with pytest.raises(PlanRefused, match=f"--{name.replace('_', '-')} .* is outside"):
        asked({name: beyond})


@pytest.mark.parametrize(("name", "value"), [("llm_share", 1.2), ("cache_hit_rate", 80), ("discount", 1), ("requests_per_second", 0)])
def test_shares_are_between_0_and_1_and_a_load_is_above_0(name: str, value: float) -> None:
    with pytest.raises(PlanRefused, match=f"{value:g} is outside"):
        asked({name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gpt-99"}, r"--model gpt-99 is unknown\. Known: llama-3\.1-8b"),
        ({"profile": "trn9"}, r"--profile trn9 is unknown\. Known: trn1-sdk2\.28"),
        ({"model": "llama-3.2-1b"}, r"llama-3\.2-1b on trn1-sdk2\.28 is refused: .*NCC_ITEN404.*Take llama-3\.1-8b"),
        ({"model": "llama-3.3-70b", "profile": "trn1-sdk2.31"}, r"NCC_INLA001"),
        ({"tensor_parallel_size": 4}, r"--tensor-parallel-size 4 is not legal .* 2, 8, 16, 32"),
        ({"max_model_len": 1000}, r"--max-model-len 1000 .* multiple of 512"),
        ({"sequences": 200}, r"does not fit .* 28\.8 usable GB .* 47 sequences .*Raise --tensor-parallel-size"),
        ({"model": "llama-3.3-70b", "profile": "gpu"}, r"does not fit gpu .* 0 sequences"),
        ({"model": "tinyllama-1.1b", "profile": "cpu"}, r"no published latency.*--llm-latency-ms"),
    ],
)
def test_what_can_not_run_is_refused_with_the_remedy(options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanRefused, match=message):
        plan(asked(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"sequences": 0}, {"tensor_parallel_size": -2}, {"max_model_len": 0}, {"llm_latency_ms": 0.0}])
def test_sizes_start_at_1(options: dict[str, int]) -> None:
    with pytest.raises(PlanRefused, match="must be"):
        asked(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("prices", [{"trn9.large": 1.0}, {"trn1.2xlarge": 0.0}, {"trn1.2xlarge": float("nan")}])
def test_a_price_names_a_known_type_and_is_above_0(prices: dict[str, float]) -> None:
    with pytest.raises(PlanRefused, match="--price"):
        asked(prices=prices)


def test_a_missing_table_of_profiles_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=r"--profiles .*absent\.json is not there"):
        plan(asked(profiles=tmp_path / "absent.json"))


def test_paged_memory_runs_fewer_sequences_where_contiguous_would_be_refused() -> None:
    """A GPU of 24 GB holds 20 of the profile's 64 sequences beside 16 GB of weights: (21.6 - 16.06) / 0.268."""
    made = plan(asked(profile="gpu"))
    assert made.server
    assert made.server.sequences == 20
