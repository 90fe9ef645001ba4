"""Layers in int8 are near those in fp32, and a passage's numbers depend on nothing but itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.backends.calibrating import Group, make_up, quantise
from encoder.backends.graph import GraphWriter, Linear, Style
from encoder.backends.int8 import Int8, Int8Layer, TableBits, symmetric
from encoder.backends.layers import lookup, made_even, named_linear
from encoder.backends.session import Session

Array = NDArray[np.float32]
INNER, OUTER = 64, 48


def drawn(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def correlated(rows: int, seed: int = 2) -> Array:
    """Inputs as they are in models: channels go together, and a few are much larger than the others."""
    inputs = drawn(rows, 8, seed=seed) @ drawn(8, INNER, seed=3) + 0.3 * drawn(rows, INNER, seed=seed + 100)
    inputs[:, :2] *= 20
    return inputs.astype(np.float32)


def group(rows: Array, *weights: Array, least: float | None = None) -> Group:
    layers = [Linear(f"layer {place}", "x", weight, least) for place, weight in enumerate(weights)]
    return Group(layers, rows, np.abs(rows).max(axis=0), (rows.T @ rows).astype(np.float64))


def ran(folder: Path, table: Array, layers: Mapping[str, Int8Layer], weight: Array, ids: NDArray[np.int64], least: float | None) -> Array:
    """What a graph of one lookup in fp32 and one linear layer gives: `(batch * length, out)`."""
    with GraphWriter(folder, Style(int8=Int8(layers))) as graph:
        x = graph.node("Gather", graph.weight(table), "input_ids")
        y = named_linear(graph, x, "layer 0", weight, drawn(len(weight), seed=9), least)
        graph.finish(graph.node("Reshape", y, graph.integers(-1, len(weight))), len(weight))
    return Session(folder / "graph.onnx").run(ids, np.ones_like(ids))


def off(found: Array, exact: Array) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_a_rounded_weight_is_half_a_step_off_at_most(seed: int, size: float) -> None:
    weight = (drawn(5, 7, seed=seed) * size).astype(np.float32)
    values, scale = symmetric(weight, axis=1)
    assert np.abs(values).max(axis=1).tolist() == [127] * 5
    assert (np.abs(values * scale - weight) <= scale * 0.5001).all()


def test_a_row_of_zeros_stays_so() -> None:
    values, scale = symmetric(np.zeros((2, 3), np.float32), axis=1)
    assert not values.any()
    assert (scale > 0).all()


@pytest.mark.parametrize(("precise", "bound"), [(False, 0.012), (True, 0.004)])
@pytest.mark.parametrize("least", [None, 0.0, -0.17])
def test_a_layer_in_int8_gives_nearly_what_it_gives_in_fp32(precise: bool, bound: float, least: float | None, tmp_path: Path) -> None:
    table = correlated(200)
    table = table if least is None else np.maximum(table, 0) + np.float32(least)
    weight = drawn(OUTER, INNER, seed=5)
    (layer,) = quantise(group(table, weight, least=least), precise=precise).values()
    ids = np.arange(200).reshape(4, 50)
    exact = ran(tmp_path, table, {}, weight, ids, least)
    assert off(ran(tmp_path, table, {"layer 0": layer}, weight, ids, least), exact) < bound


@pytest.mark.parametrize("precise", [False, True])
def test_a_token_gets_the_same_bytes_whatever_is_beside_it(precise: bool, tmp_path: Path) -> None:
    table, weight = correlated(40), drawn(OUTER, INNER, seed=5)
    layers = quantise(group(table, weight), precise=precise)
    alone = np.concatenate([ran(tmp_path, table, layers, weight, np.array([[token]]), None) for token in range(40)])
    assert np.array_equal(ran(tmp_path, table, layers, weight, np.arange(40).reshape(4, 10), None), alone)


@pytest.mark.parametrize("precise", [False, True])
def test_a_token_of_zeros_gives_the_bias_alone(precise: bool, tmp_path: Path) -> None:
    table, weight = np.zeros((1, INNER), np.float32), drawn(OUTER, INNER, seed=5)
    layers = quantise(group(correlated(50), weight), precise=precise)
    assert np.allclose(ran(tmp_path, table, layers, weight, np.array([[0]]), None), drawn(OUTER, seed=9))


def test_a_precise_layer_takes_inputs_twice_as_large_as_calibration_saw(tmp_path: Path) -> None:
    seen, weight = correlated(200), drawn(OUTER, INNER, seed=5)
    layers, ids = quantise(group(seen, weight), precise=True), np.arange(200).reshape(4, 50)
    for size, bound in ((1.9, 0.004), (4.0, 0.5)):
        table = (seen * size).astype(np.float32)
        assert off(ran(tmp_path, table, layers, weight, ids, None), ran(tmp_path, table, {}, weight, ids, None)) < bound


def test_who_makes_the_inputs_of_a_layer_divides_them(tmp_path: Path) -> None:
    """Two layers and nothing between them: the first one's scales take up the divisors of the second, in int8 and in fp32."""
    table, first, second = drawn(60, INNER), drawn(INNER, INNER, seed=5), drawn(OUTER, INNER, seed=6)
    sizes = np.geomspace(0.1, 10, INNER).astype(np.float32)
    first = first * sizes[:, None]
    between = (table @ first.T).astype(np.float32)
    taken = {"second": quantise(group(between, second))["layer 0"]}
    both = taken | {"first": quantise(group(table, first))["layer 0"]}
    exact = between @ second.T
    for layers in (taken, both):
        with GraphWriter(tmp_path, Style(int8=Int8(layers))) as graph:
            x = graph.node("Gather", graph.weight(table), "input_ids")
            inner = made_even(graph, named_linear(graph, x, "first", first, taker="second"), "second")
            y = named_linear(graph, inner, "second", second)
            graph.finish(graph.node("Reshape", y, graph.integers(-1, OUTER)), OUTER)
        assert graph.even == {inner}
        ids = np.arange(60).reshape(1, 60)
        assert off(Session(tmp_path / "graph.onnx").run(ids, np.ones_like(ids)), exact) < 0.02


@pytest.mark.parametrize(("bits", "bound"), [(8, 1e-2), (16, 3e-4)])
def test_a_table_of_more_bits_is_nearer(bits: TableBits, bound: float, tmp_path: Path) -> None:
    table, ids = drawn(30, INNER), np.arange(30).reshape(3, 10)
    with GraphWriter(tmp_path, Style(int8=Int8({}, bits))) as graph:
        rows = lookup(graph, table, "input_ids")
        graph.finish(graph.node("Reshape", rows, graph.integers(-1, INNER)), INNER)
    assert bound / 10 < off(Session(tmp_path / "graph.onnx").run(ids, np.ones_like(ids)), table) < bound


def test_making_up_for_rounding_beats_rounding_on_inputs_it_has_not_seen() -> None:
    weight, seen, unseen = drawn(OUTER, INNER, seed=5), correlated(500), correlated(500, seed=7)
    exact = unseen @ weight.T
    made_up, scale = make_up(weight, (seen.T @ seen).astype(np.float64))
    rounded, plain_scale = symmetric(weight, axis=1)
    assert off(unseen @ (made_up * scale).T, exact) < 0.7 * off(unseen @ (rounded * plain_scale).T, exact)


def test_uneven_inputs_are_evened_out() -> None:
    uneven, even = (quantise(group(rows, drawn(OUTER, INNER, seed=5)))["layer 0"].divisors for rows in (correlated(300), drawn(300, INNER)))
    assert uneven[:2].min() > 2 * uneven[2:].max()
    assert even.max() < 2 * even.min()


def test_layers_side_by_side_share_the_divisors_of_their_input() -> None:
    found = quantise(group(correlated(300), drawn(OUTER, INNER, seed=5), drawn(8, INNER, seed=6)))
    first, second = found["layer 0"], found["layer 1"]
    assert first.divisors is second.divisors
    assert (first.values.shape, second.values.shape) == ((OUTER, INNER), (8, INNER))


def test_inputs_too_wide_to_make_up_for_are_still_rounded() -> None:
    whole = group(correlated(300), drawn(OUTER, INNER, seed=5))
    found = quantise(Group(whole.layers, whole.rows, whole.largest, None))["layer 0"]
    assert off(found.values * found.scale[:, None] / found.divisors, whole.layers[0].weight) < 0.02
