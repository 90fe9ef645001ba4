"""The layers that encoders are made of, as graph nodes. Knows no architecture and no checkpoint."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.backends.graph import ATTENTION_MASK, MICROSOFT, GraphWriter, Linear
from encoder.backends.quantising import int8_linear, int8_rows
from encoder.errors import ModelUnsupported

FAR_BELOW = -1e9
"""Added to the attention score of padding: finite, so that no row can become NaN, yet exp() of it is exactly 0."""

LARGEST_HALF = 65_504
"""Of the numbers that 16 bits hold as a float."""

LEAST_OF = {"relu": 0.0, "gelu": -0.17, "gelu_new": -0.1701, "gelu_pytorch_tanh": -0.1701, "silu": -0.2785, "swish": -0.2785, "tanh": -1.0}
"""No activation gives less."""

Array = NDArray[np.float32]


def linear(graph: GraphWriter, x: str, weight: Array, bias: Array | None = None) -> str:
    """`x @ weight.T + bias` in fp32; `weight` is `(out, in)` as checkpoints hold it."""
    product = graph.node("MatMul", x, graph.weight(weight.T))
    return product if bias is None else graph.node("Add", product, graph.weight(bias))


def named_linear(
    graph: GraphWriter, x: str, name: str, weight: Array, bias: Array | None = None, least: float | None = None, taker: str = ""
) -> str:
    """The same, in int8 where the graph's style has the layer so; no number of `x` is less than `least`.

    Outputs come divided as the layer `taker` wants them.
    """
    graph.linear_layers.append(Linear(name, x, weight, least))
    int8, divisors = graph.style.int8, wanted(graph, taker)
    if divisors is not None and bias is not None:
        bias = bias / divisors
    if int8 and name in int8.layers:
        layer = int8.layers[name]
        return int8_linear(graph, x, layer if divisors is None else layer.divided(divisors), bias)
    return linear(graph, x, weight if divisors is None else weight / divisors[:, None], bias)


def wanted(graph: GraphWriter, taker: str) -> Array | None:
    """What the layer `taker` wants its inputs to be divided by, `None` for nothing: who makes them can do so at no cost."""
    int8 = graph.style.int8
    return int8.layers[taker].divisors if int8 and taker in int8.layers else None


def lookup(graph: GraphWriter, table: Array, ids: str) -> str:
    """The rows `(batch, length, width)` of an embedding table `(vocabulary, width)`."""
    if not graph.style.int8 or np.abs(table).max() > LARGEST_HALF:
        return graph.node("Gather", graph.weight(table), ids)
    if graph.style.int8.tables == 8:
        return int8_rows(graph, table, ids)
    return graph.node("Cast", graph.node("Gather", graph.weight(table.astype(np.float16)), ids), to=1)


def layer_norm(graph: GraphWriter, x: str, weight: Array, bias: Array, epsilon: float) -> str:
    """Ba et al. (2016), over the last axis."""
    return graph.node("LayerNormalization", x, graph.weight(weight), graph.weight(bias), epsilon=epsilon)


def made_even(graph: GraphWriter, x: str, taker: str) -> str:
    """Notes that `x` comes divided as the layer `taker` wants it."""
    if wanted(graph, taker) is not None:
        graph.even.add(x)
    return x


def rms_norm(graph: GraphWriter, x: str, weight: Array, epsilon: float, taker: str = "") -> str:
    """Zhang and Sennrich (2019): no mean is taken away and nothing is added. Outputs come divided as the layer `taker` wants them."""
    if (divisors := wanted(graph, taker)) is not None:
        weight = weight / divisors
    if graph.style.fused:
        normed = graph.node("SimplifiedLayerNormalization", x, graph.weight(weight), epsilon=epsilon, axis=-1)
        return made_even(graph, normed, taker)
    mean_square = graph.node("ReduceMean", graph.node("Mul", x, x), graph.integers(-1), keepdims=1)
    root = graph.node("Sqrt", graph.node("Add", mean_square, graph.floats(epsilon)))
    return made_even(graph, graph.node("Mul", graph.node("Div", x, root), graph.weight(weight)), taker)


def activation(graph: GraphWriter, x: str, name: str) -> str:
    """The activation that Hugging Face configurations call `name`."""
    match name:
        case "relu":
            return graph.node("Relu", x)
        case "gelu" if graph.style.int8:  # the tanh form is quicker and much nearer than int8 is
            return graph.node("Gelu", x, approximate="tanh")
        case "gelu":
            return graph.node("Gelu", x)
        case "gelu_new" | "gelu_pytorch_tanh":
            return graph.node("Gelu", x, approximate="tanh")
        case "silu" | "swish":
            return graph.node("Mul", x, graph.node("Sigmoid", x))
        case "tanh":
            return graph.node("Tanh", x)
        case _:
            raise ModelUnsupported(
                f"The activation {name!r} is not known; use a model with relu, gelu, gelu_new, gelu_pytorch_tanh, silu or tanh."
            )


@dataclass(frozen=True)
class Heads:
    """The shape and scale of an attention: T5 does not scale its scores, BERT divides by the root of `width`."""

    count: int
    width: int
    scale: float


def attention(graph: GraphWriter, query: str, key: str, value: str, position_bias: str, heads: Heads) -> str:
    """Vaswani et al. (2017), equation 1, per head; inputs and output `(batch, length, count * width)`.

    `position_bias` `(1, count, length, length)` is added to the scores where it is not empty; padding gets no attention.
    """
    if not graph.style.fused:
        return _plain_attention(graph, query, key, value, position_bias, heads)
    mask = graph.node("Cast", ATTENTION_MASK, to=6)
    inputs = (query, key, value, "", mask, position_bias)
    options = {"num_heads": heads.count, "scale": float(heads.scale), "mask_filter_value": FAR_BELOW}
    return graph.node("MultiHeadAttention", *inputs, domain=MICROSOFT, **options)


def _plain_attention(graph: GraphWriter, query: str, key: str, value: str, position_bias: str, heads: Heads) -> str:
    def split(x: str, order: tuple[int, ...]) -> str:
        return graph.node("Transpose", graph.node("Reshape", x, graph.integers(0, 0, heads.count, heads.width)), perm=order)

    scores = graph.node("MatMul", split(query, (0, 2, 1, 3)), split(key, (0, 2, 3, 1)))
    if heads.scale != 1:
        scores = graph.node("Mul", scores, graph.floats(heads.scale))
    if position_bias:
        scores = graph.node("Add", scores, position_bias)
    shares = graph.node("Softmax", graph.node("Add", scores, _padding_bias(graph)), axis=-1)
    mixed = graph.node("Transpose", graph.node("MatMul", shares, split(value, (0, 2, 1, 3))), perm=(0, 2, 1, 3))
    return graph.node("Reshape", mixed, graph.integers(0, 0, heads.count * heads.width))


def _padding_bias(graph: GraphWriter) -> str:
    """0 where there is a token and `FAR_BELOW` where there is padding: `(batch, 1, 1, length)`."""
    mask = graph.node("Cast", ATTENTION_MASK, to=1)
    bias = graph.node("Mul", graph.node("Sub", graph.floats(1), mask), graph.floats(FAR_BELOW))
    return graph.node("Unsqueeze", bias, graph.integers(1, 2))
