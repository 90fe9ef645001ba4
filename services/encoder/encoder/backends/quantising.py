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
    return _precise(graph, x, layer, bias) if layer.precise else _dynamic(graph, x, layer, bias)


def int8_rows(graph: GraphWriter, table: Array, ids: str) -> str:
    """The rows of an embedding table that is kept in int8 with a scale per row."""
    values, scale = symmetric(table, axis=1)
    rows = graph.node("Cast", graph.node("Gather", graph.weight(values), ids), to=1)
    return graph.node("Mul", rows, graph.node("Gather", graph.weight(scale), ids))


def _dynamic(graph: GraphWriter, x: str, layer: Int8Layer, bias: Array | None) -> str:
    """Inputs in 8 bits between 0, or the largest size of the token's numbers below it, and that size."""
    positive = layer.least is not None
    step, zero = graph.floats(1 / 255 if positive else 1 / LARGEST), graph.bytes(0 if positive else ZERO)
    if x not in graph.quantised:
        even = _even(graph, x, layer)
        if layer.least:
            even = graph.node("Sub", even, graph.weight(np.float32(layer.least) / layer.divisors))
        sizes = even if positive else graph.node("Abs", even)
        largest = graph.node("Max", graph.node("ReduceMax", sizes, graph.integers(-1), keepdims=1), graph.floats(LEAST))
        share = graph.node("Mul", even, graph.node("Reciprocal", largest))  # dividing takes twice the time
        graph.quantised[x] = [(graph.node("QuantizeLinear", share, step, zero), largest)]
    ((values, largest),) = graph.quantised[x]
    weight, scale = graph.weight(layer.values.T), graph.weight(layer.scale)
    product = graph.node("MatMulIntegerToFloat", values, weight, step, scale, zero, domain=MICROSOFT)
    product = graph.node("Mul", product, largest)
    if layer.least:
        bias = layer.correction if bias is None else bias + layer.correction
    return product if bias is None else graph.node("Add", product, graph.weight(bias))


def _precise(graph: GraphWriter, x: str, layer: Int8Layer, bias: Array | None) -> str:
    """Inputs in two parts of 8 bits, the second for what the first rounds off; steps are fixed, for 16 bits suit every token."""
    if x not in graph.quantised:
        low, high = layer.span
        width = (high - low) / 255
        coarse = graph.floats(width), graph.bytes(round(-low / width))
        fine = graph.floats(width / 2 / LARGEST), graph.bytes(ZERO)
        even = _even(graph, x, layer)
        first = graph.node("QuantizeLinear", even, *coarse)
        rest = graph.node("Sub", even, graph.node("DequantizeLinear", first, *coarse))
        graph.quantised[x] = [(first, *coarse), (graph.node("QuantizeLinear", rest, *fine), *fine)]
    weight, scale = graph.weight(layer.values.T), graph.weight(layer.scale)
    added = () if bias is None else ("", graph.weight(bias))
    (first, step, zero), (second, fine_step, middle) = graph.quantised[x]
    main = graph.node("MatMulIntegerToFloat", first, weight, step, scale, zero, *added, domain=MICROSOFT)
    more = graph.node("MatMulIntegerToFloat", second, graph.again(weight), fine_step, scale, middle, domain=MICROSOFT)
    return graph.node("Add", main, more)


def _even(graph: GraphWriter, x: str, layer: Int8Layer) -> str:
    """`x` over the divisors."""
    return x if x in graph.even or (layer.divisors == 1).all() else graph.node("Mul", x, graph.weight(1 / layer.divisors))
