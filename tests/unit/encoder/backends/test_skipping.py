"""The fewest layers get better that pass the gate, in the order of what they gain."""

from collections.abc import Callable

import numpy as np
import pytest

from encoder.backends.calibrating import Group
from encoder.backends.graph import Linear
from encoder.backends.skipping import MOST_FP32, Choice, Measure, Use, choose
from encoder.gate import Nearness


def groups(count: int = 8) -> list[Group]:
    rows = np.random.default_rng(1).standard_normal((30, 6)).astype(np.float32)
    moments = (rows.T @ rows).astype(np.float64)
    weight = np.random.default_rng(2).standard_normal((4, 6)).astype(np.float32)
    return [Group([Linear(f"layer {n}", f"x{n}", weight, None)], rows, np.abs(rows).max(axis=0), moments) for n in range(count)]


def world(inputs: dict[int, float], weights: dict[int, float], measured: list[Choice], tables: float = 0.0) -> Measure:
    """Each layer loses overlap by its inputs unless they are precise, by its weights unless it is fp32, and so do `tables` of 8 bits."""

    def measure(choice: Choice, use: Use) -> Nearness:
        if use == "gate":
            measured.append(choice)
        lost = sum(loss for place, loss in inputs.items() if place not in choice.precise | choice.fp32)
        lost += sum(loss for place, loss in weights.items() if place not in choice.fp32)
        lost += tables * (choice.tables == 8)
        return Nearness(1 - lost / 10, 1 - lost, {}, 1 - lost, 100)

    return measure


@pytest.fixture
def measured() -> list[Choice]:
    """What was measured on the passages of the gate."""
    return []


@pytest.fixture
def told() -> list[str]:
    return []


def test_what_passes_at_once_is_left_alone(measured: list[Choice], told: list[str]) -> None:
    choice, nearness, gains = choose(groups(), world({1: 0.01}, {}, measured), told.append)
    assert nearness.passes
    assert (choice.precise, choice.fp32, choice.share, gains) == (frozenset(), frozenset(), 1.0, {})
    assert set(choice.int8.layers) == {f"layer {n}" for n in range(8)}
    assert len(measured) == 1


def test_the_layers_that_cost_most_get_precise_inputs_and_no_others(measured: list[Choice], told: list[str]) -> None:
    inputs = {0: 0.004, 3: 0.05, 5: 0.03, 6: 0.006}
    choice, nearness, gains = choose(groups(), world(inputs, {}, measured), told.append)
    assert nearness.passes
    assert (set(choice.precise), set(choice.fp32)) == ({3, 5}, set())
    assert choice.precise_names == ["layer 3", "layer 5"]
    assert [name for name, layer in choice.int8.layers.items() if layer.precise] == ["layer 3", "layer 5"]
    assert list(gains)[:3] == ["layer 3", "layer 5", "layer 6"]
    assert any("0.9100" in line for line in told)


def test_where_precise_inputs_are_not_enough_the_worst_weights_stay_in_fp32(measured: list[Choice], told: list[str]) -> None:
    choice, nearness, _ = choose(groups(), world({2: 0.05}, {4: 0.04, 7: 0.01}, measured), told.append)
    assert nearness.passes
    assert (set(choice.fp32), choice.share) == ({4}, 7 / 8)
    assert choice.fp32_names == ["layer 4"]
    assert "layer 4" not in choice.int8.layers
    assert "layer 4" not in choice.precise_names


def test_a_model_that_can_not_pass_is_told_with_its_best_choice(measured: list[Choice], told: list[str]) -> None:
    choice, nearness, gains = choose(groups(), world({}, dict.fromkeys(range(8), 0.02), measured), told.append)
    assert not nearness.passes
    assert nearness.overlap == pytest.approx(1 - 0.02 * 8 * MOST_FP32)
    assert choice.share == 1 - MOST_FP32
    assert len(gains) == 8


@pytest.mark.parametrize("needed", range(1, 8))
def test_no_layer_more_than_needed_gets_better(needed: int, measured: list[Choice], told: list[str]) -> None:
    """Losses halve from layer to layer, so that each head of the ranking has a loss of its own."""
    inputs = {place: 0.02 * 2.0 ** (needed - place - 1) for place in range(8)}
    choice, nearness, _ = choose(groups(), world(inputs, {}, measured), told.append)
    assert nearness.passes
    assert choice.precise == frozenset(range(needed))
    assert len(measured) <= 3 + 4


def test_tables_get_16_bits_before_any_layer_gets_slower(measured: list[Choice], told: list[str]) -> None:
    choice, nearness, gains = choose(groups(), world({1: 0.01}, {}, measured, tables=0.02), told.append)
    assert nearness.passes
    assert (choice.tables, choice.int8.tables, choice.precise, gains) == (16, 16, frozenset(), {})


def test_tables_stay_in_8_bits_where_they_may_have_no_more(measured: list[Choice], told: list[str]) -> None:
    choice, nearness, _ = choose(groups(), world({1: 0.01}, {}, measured, tables=0.015), told.append, tables=8)
    assert nearness.passes
    assert (choice.tables, set(choice.precise)) == (8, {1})


def test_measuring_starts_with_everything_in_int8(measured: list[Choice], told: list[str]) -> None:
    record: Callable[[str], None] = told.append
    choose(groups(), world({0: 0.5}, {}, measured), record)
    assert (measured[0].precise, measured[0].fp32) == (frozenset(), frozenset())
    assert told[1].startswith("all in int8")
