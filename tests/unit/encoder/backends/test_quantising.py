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
from encoder.backends.int8 import Int8, Int8Layer, symmetric
from encoder.backends.layers import lookup, named_linear
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
    with GraphWriter(folder, Style(int8=Int8(layers, tables=False))) as graph:
        x = lookup(graph, table, "input_ids")
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
    (layer,) = quantise(group(table, weight, least=least)).values()
    layer = Int8Layer(layer.values, layer.scale, layer.divisors, layer.least, precise)
    ids = np.arange(200).reshape(4, 50)
    exact = ran(tmp_path, table, {}, weight, ids, least)
    assert off(ran(tmp_path, table, {"layer 0": layer}, weight, ids, least), exact) < bound


def test_a_token_gets_the_same_bytes_whatever_is_beside_it(tmp_path: Path) -> None:
    table, weight = correlated(40), drawn(OUTER, INNER, seed=5)
    layers = quantise(group(table, weight))
    alone = np.concatenate([ran(tmp_path, table, layers, weight, np.array([[token]]), None) for token in range(40)])
    assert np.array_equal(ran(tmp_path, table, layers, weight, np.arange(40).reshape(4, 10), None), alone)


def test_a_token_of_zeros_gives_the_bias_alone(tmp_path: Path) -> None:
    table, weight = np.zeros((1, INNER), np.float32), drawn(OUTER, INNER, seed=5)
    layers = quantise(group(correlated(50), weight))
    assert np.allclose(ran(tmp_path, table, layers, weight, np.array([[0]]), None), drawn(OUTER, seed=9))


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
