"""Linear layers and embedding tables in int8, as graph nodes. Knows no architecture and no checkpoint.

Weights are symmetric, with a scale per output channel. What comes in is quantised as the model runs, with a scale per token: a token's
numbers do not depend on what else is in the batch, and an outlier in one token costs the others nothing.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.backends.graph import MICROSOFT, GraphWriter
from encoder.backends.int8 import LARGEST, LEAST, Int8Layer, symmetric

ZERO = 128
"""The uint8 value that stands for 0: ONNX Runtime's quick matrix products take uint8 by int8."""

Array = NDArray[np.float32]


def int8_linear(graph: GraphWriter, x: str, layer: Int8Layer, bias: Array | None) -> str:
    """`x @ weight.T + bias`, the sums exact in int32. Layers that share an `x` share its divisors, and it is quantised once."""
    positive = layer.least is not None
    parts, largest = _per_token(graph, x, layer)
    weight, scale = graph.weight(layer.values.T), graph.weight(layer.scale)
    weights = (weight, graph.again(weight)) if layer.precise else (weight,)
    products = [
        graph.node("MatMulIntegerToFloat", part, weight, step, scale, zero, domain=MICROSOFT)
        for part, weight, (step, zero) in zip(parts, weights, _steps(graph, positive), strict=False)
    ]
    total = products[0] if len(products) == 1 else graph.node("Add", *products)
    product = graph.node("Mul", total, largest)
    if layer.least:
        bias = layer.correction if bias is None else bias + layer.correction
    return product if bias is None else graph.node("Add", product, graph.weight(bias))


def int8_rows(graph: GraphWriter, table: Array, ids: str) -> str:
    """The rows of an embedding table that is kept in int8 with a scale per row."""
    values, scale = symmetric(table, axis=1)
    rows = graph.node("Cast", graph.node("Gather", graph.weight(values), ids), to=1)
    return graph.node("Mul", rows, graph.node("Gather", graph.weight(scale), ids))


def _per_token(graph: GraphWriter, x: str, layer: Int8Layer) -> tuple[list[str], str]:
    """`x`, evened out and divided by its largest size per token, as one or two uint8 tensors; and that size `(batch, length, 1)`."""
    if x not in graph.quantised:
        even = x if (layer.divisors == 1).all() else graph.node("Mul", x, graph.weight(1 / layer.divisors))
        if layer.least:
            even = graph.node("Sub", even, graph.weight(np.float32(layer.least) / layer.divisors))
        positive = layer.least is not None
        sizes = even if positive else graph.node("Abs", even)
        largest = graph.node("Max", graph.node("ReduceMax", sizes, graph.integers(-1), keepdims=1), graph.floats(LEAST))
        share = graph.node("Div", even, largest)
        coarse, fine = _steps(graph, positive)
        parts = [graph.node("QuantizeLinear", share, *coarse)]
        if layer.precise:
            rest = graph.node("Sub", share, graph.node("DequantizeLinear", parts[0], *coarse))
            parts.append(graph.node("QuantizeLinear", rest, *fine))
        graph.quantised[x] = parts, largest
    return graph.quantised[x]


def _steps(graph: GraphWriter, positive: bool) -> tuple[tuple[str, str], tuple[str, str]]:
    """Scale and zero point in uint8 of what is between -1 (`positive`: 0) and 1, and of what that rounds off, which has both signs."""
    step = 1 / 255 if positive else 1 / LARGEST
    return (graph.floats(step), graph.bytes(0 if positive else ZERO)), (graph.floats(step / 2 / LARGEST), graph.bytes(ZERO))
