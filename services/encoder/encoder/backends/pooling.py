"""Turns hidden states into unit-length embeddings, inside the graph. Knows no architecture."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoder.backends.graph import ATTENTION_MASK, GraphWriter
from encoder.backends.layers import activation, linear

Mode = Literal["mean", "cls"]


@dataclass(frozen=True)
class Projection:
    """A dense layer after pooling, as sentence-t5 has: `weight` `(out, in)`, `bias` `(out,)`, the name of an activation."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: str | None


def pool(graph: GraphWriter, hidden: str, mode: Mode, projections: Iterable[Projection]) -> str:
    """Hidden states `(batch, length, width)` -> embeddings `(batch, dim)`: pooled, projected, divided by their length."""
    embedding = _mean(graph, hidden) if mode == "mean" else _first(graph, hidden)
    for projection in projections:
        embedding = linear(graph, embedding, projection.weight, projection.bias)
        if projection.activation:
            embedding = activation(graph, embedding, projection.activation)
    length = graph.node("ReduceL2", embedding, graph.integers(1), keepdims=1)
    return graph.node("Div", embedding, graph.node("Max", length, graph.floats(1e-12)))


def _mean(graph: GraphWriter, hidden: str) -> str:
    """Over the tokens of each passage and not over its padding, which would otherwise dominate short passages."""
    mask = graph.node("Unsqueeze", graph.node("Cast", ATTENTION_MASK, to=1), graph.integers(2))
    total = graph.node("ReduceSum", graph.node("Mul", hidden, mask), graph.integers(1), keepdims=0)
    return graph.node("Div", total, graph.node("ReduceSum", mask, graph.integers(1), keepdims=0))


def _first(graph: GraphWriter, hidden: str) -> str:
    return graph.node("Squeeze", graph.node("Slice", hidden, graph.integers(0), graph.integers(1), graph.integers(1)), graph.integers(1))
