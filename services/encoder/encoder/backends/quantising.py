"""Linear layers and embedding tables in int8, as graph nodes. Knows no architecture and no checkpoint.

Weights are symmetric, with a scale per output channel. What comes in is quantised as the model runs, symmetrically and with a scale
per token: a token's numbers do not depend on what else is in the batch, and an outlier in one token costs the others nothing.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.backends.graph import MICROSOFT, GraphWriter

LARGEST = 127
"""Of the int8 values; -128 is not used, so that scales are symmetric."""
ZERO = 128
"""The uint8 value that stands for 0: ONNX Runtime's quick matrix products take uint8 by int8."""
LEAST = 1e-12

Array = NDArray[np.float32]


def symmetric(weight: Array, axis: int) -> tuple[NDArray[np.int8], Array]:
    """`weight` as int8 and its scales, one per slice across `axis` (kept with length 1): `int8 * scale` is near `weight`."""
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), LEAST).astype(np.float32) / np.float32(LARGEST)
    return np.rint(weight / scale).astype(np.int8), scale


def int8_linear(graph: GraphWriter, x: str, weight: Array, *, positive: bool = False) -> str:
    """`x @ weight.T` with `weight` `(out, in)` in int8 and `x` quantised per token; the sums are exact, in int32.

    An `x` that is `positive` throughout has the whole range of uint8 and so half the error.
    """
    values, scale = symmetric(weight, axis=1)
    quantised, largest = _per_token(graph, x, positive)
    step, zero = _step(graph, positive)
    inputs = quantised, graph.weight(values.T), step, graph.weight(scale[:, 0]), zero
    return graph.node("Mul", graph.node("MatMulIntegerToFloat", *inputs, domain=MICROSOFT), largest)


def int8_rows(graph: GraphWriter, table: Array, ids: str) -> str:
    """The rows of an embedding table that is kept in int8 with a scale per row."""
    values, scale = symmetric(table, axis=1)
    rows = graph.node("Cast", graph.node("Gather", graph.weight(values), ids), to=1)
    return graph.node("Mul", rows, graph.node("Gather", graph.weight(scale), ids))


def _per_token(graph: GraphWriter, x: str, positive: bool) -> tuple[str, str]:
    """`x` divided by its largest size per token as uint8, and that size `(batch, length, 1)`."""
    if x not in graph.quantised:
        sizes = x if positive else graph.node("Abs", x)
        largest = graph.node("Max", graph.node("ReduceMax", sizes, graph.integers(-1), keepdims=1), graph.floats(LEAST))
        graph.quantised[x] = graph.node("QuantizeLinear", graph.node("Div", x, largest), *_step(graph, positive)), largest
    return graph.quantised[x]


def _step(graph: GraphWriter, positive: bool) -> tuple[str, str]:
    """Scale and zero point of what is between -1 and 1, or 0 and 1, in uint8."""
    return (graph.floats(1 / 255), graph.bytes(0)) if positive else (graph.floats(1 / LARGEST), graph.bytes(ZERO))
