"""Finds the int8 numbers of linear layers from what goes into them on real text. Knows no architecture and no gate.

Rounding is made up for in the weights that are not yet rounded (Frantar et al., "GPTQ", 2023, algorithm 1), and channels are evened out
between inputs and weights (Xiao et al., "SmoothQuant", 2023) by as much as rounds best.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.backends.building import write_graph
from encoder.backends.folder import ModelFolder
from encoder.backends.graph import GRAPH_FILE, Linear, Style
from encoder.backends.int8 import LARGEST, LEAST, Int8Layer, symmetric
from encoder.backends.session import Session

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""How much of the inputs' unevenness goes over to the weights."""
PRECISE_STRENGTHS = (0.1, 0.2, 0.3, 0.4)
"""The same where inputs are hardly rounded: less of it."""
ROWS = 512
"""Tokens on which strengths are compared."""
WIDEST = 4096
"""Inputs beyond which weights are only rounded: what making up costs grows with the third power."""
BLOCK, DAMPING = 64, 0.01

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Group:
    """Linear layers with the same input, and what that input was: `rows` `(tokens, in)` and the sum of outer products `(in, in)`."""

    layers: Sequence[Linear]
    rows: Array
    largest: Array
    moments: NDArray[np.float64] | None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    @property
    def weights(self) -> int:
        """Of all its layers."""
        return sum(layer.weight.size for layer in self.layers)


def observe(folder: ModelFolder, passages: Sequence[Sequence[int]]) -> list[Group]:
    """Runs the model in fp32 over the passages (token ids) and looks at the input of every linear layer."""
    with tempfile.TemporaryDirectory() as scratch:
        layers = write_graph(folder, Path(scratch), Style(watched=True))
        inputs = {layer.x: None for layer in layers}
        session = Session(Path(scratch) / GRAPH_FILE)
        seen = {x: _Seen() for x in inputs}
        for passage in passages:
            for x, rows in session.watch(list(inputs), np.array([passage])).items():
                seen[x].take(rows[0])
    return [seen[x].group([layer for layer in layers if layer.x == x]) for x in inputs]


class _Seen:
    """What came into one group of layers so far."""

    def __init__(self) -> None:
        self._rows: list[Array] = []
        self._held = 0
        self._largest: Array | None = None
        self._moments: NDArray[np.float64] | None = None

    def take(self, rows: Array) -> None:
        sizes = np.abs(rows).max(axis=0)
        self._largest = sizes if self._largest is None else np.maximum(self._largest, sizes)
        if rows.shape[1] <= WIDEST:
            moments = (rows.T @ rows).astype(np.float64)
            self._moments = moments if self._moments is None else self._moments + moments
        if self._held < ROWS:
            self._rows.append(rows)
            self._held += len(rows)

    def group(self, layers: Sequence[Linear]) -> Group:
        assert self._largest is not None
        return Group(layers, np.concatenate(self._rows)[:ROWS], self._largest, self._moments)


def quantise(group: Group, *, precise: bool = False) -> dict[str, Int8Layer]:
    """The group's layers in int8, to take inputs of 8 bits or, when `precise`, of 16."""
    weight, least = np.concatenate([layer.weight for layer in group.layers]), group.layers[0].least
    tried = [_divisors(group, weight, strength) for strength in (PRECISE_STRENGTHS if precise else STRENGTHS)]
    if precise:
        divisors, values, scale = min(
            ((some, *_rounded(group, weight, some)) for some in tried), key=lambda made: _lost(group, weight, *made)
        )
    else:
        divisors = min(tried, key=lambda some: _loss(group.rows, weight, some, least))
        values, scale = _rounded(group, weight, divisors)
    ends = np.cumsum([len(layer.weight) for layer in group.layers])[:-1]
    parts = zip(group.names, np.split(values, ends), np.split(scale[:, 0], ends), strict=True)
    reach = float((group.largest / divisors).max())
    return {name: Int8Layer(part, part_scale, divisors, least, reach, precise) for name, part, part_scale in parts}


def _rounded(group: Group, weight: Array, divisors: Array) -> tuple[NDArray[np.int8], Array]:
    """`weight * divisors` in int8 with scales `(out, 1)`."""
    if group.moments is None:
        return symmetric(weight * divisors, axis=1)
    return make_up(weight * divisors, group.moments / np.outer(divisors, divisors))


def make_up(weight: Array, moments: NDArray[np.float64]) -> tuple[NDArray[np.int8], Array]:
    """`weight` `(out, in)` in int8 with scales `(out, 1)`, for inputs whose outer products sum to `moments` `(in, in)`.

    Column after column is rounded, and what is lost is made up for by the columns after it, as far as their inputs go together.
    """
    _, scale = symmetric(weight, axis=1)
    left, values = weight.astype(np.float64), np.empty(weight.shape, np.int8)
    damped = moments + np.eye(len(moments)) * max(DAMPING * float(np.trace(moments)) / len(moments), LEAST)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    for start in range(0, weight.shape[1], BLOCK):
        end = min(start + BLOCK, weight.shape[1])
        lost = np.empty((len(weight), end - start))
        for column in range(start, end):
            rounded = np.clip(np.rint(left[:, column] / scale[:, 0]), -LARGEST, LARGEST)
            values[:, column] = rounded
            loss = (left[:, column] - rounded * scale[:, 0]) / upper[column, column]
            left[:, column + 1 : end] -= np.outer(loss, upper[column, column + 1 : end])
            lost[:, column - start] = loss
        left[:, end:] -= lost @ upper[start:end, end:]
    return values, scale


def _divisors(group: Group, weight: Array, strength: float) -> Array:
    """SmoothQuant's equation 4, scaled to a geometric mean of 1; all 1 for a strength of 0."""
    if strength == 0:
        return np.ones(weight.shape[1], np.float32)
    inputs, weights = np.maximum(group.largest, 1e-5), np.maximum(np.abs(weight).max(axis=0), 1e-5)
    ratio = strength * np.log(inputs) - (1 - strength) * np.log(weights)
    divisors: Array = np.exp(ratio - ratio.mean()).astype(np.float32)
    return divisors


def _lost(group: Group, weight: Array, divisors: Array, values: NDArray[np.int8], scale: Array) -> float:
    """How far the outputs are off when the weights alone are rounded."""
    error = weight - values * scale / divisors
    return float((((group.rows @ error.T) ** 2) if group.moments is None else (error @ group.moments) * error).sum())


def _loss(rows: Array, weight: Array, divisors: Array, least: float | None) -> float:
    """How far the outputs are off when inputs and weights are simply rounded."""
    values, scale = symmetric(weight * divisors, axis=1)
    even = (rows - (least or 0.0)) / divisors
    step = np.maximum(np.abs(even).max(axis=1, keepdims=True), LEAST) / (LARGEST if least is None else 255)
    outputs = (np.rint(even / step) * step) @ (values * scale).T
    exact = (rows - (least or 0.0)) @ weight.T
    return float(((outputs - exact) ** 2).sum())
