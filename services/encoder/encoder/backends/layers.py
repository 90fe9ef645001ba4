"""The layers that encoders are made of, as graph nodes. Knows no architecture and no checkpoint."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.backends.graph import ATTENTION_MASK, GraphWriter
from encoder.errors import ModelUnsupported

FAR_BELOW = -1e9
"""Added to the attention score of padding: finite, so that no row can become NaN, yet exp() of it is exactly 0."""

Array = NDArray[np.float32]


def linear(graph: GraphWriter, x: str, weight: Array, bias: Array | None = None) -> str:
    """`x @ weight.T + bias`; `weight` is `(out, in)` as checkpoints hold it."""
    product = graph.node("MatMul", x, graph.weight(weight.T))
    return product if bias is None else graph.node("Add", product, graph.weight(bias))


def layer_norm(graph: GraphWriter, x: str, weight: Array, bias: Array, epsilon: float) -> str:
    """Ba et al. (2016), over the last axis."""
    return graph.node("LayerNormalization", x, graph.weight(weight), graph.weight(bias), epsilon=epsilon)


def rms_norm(graph: GraphWriter, x: str, weight: Array, epsilon: float) -> str:
    """Zhang and Sennrich (2019): no mean is taken away and nothing is added."""
    mean_square = graph.node("ReduceMean", graph.node("Mul", x, x), graph.integers(-1), keepdims=1)
    root = graph.node("Sqrt", graph.node("Add", mean_square, graph.floats(epsilon)))
    return graph.node("Mul", graph.node("Div", x, root), graph.weight(weight))


def activation(graph: GraphWriter, x: str, name: str) -> str:
    """The activation that Hugging Face configurations call `name`."""
    match name:
        case "relu":
            return graph.node("Relu", x)
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


def padding_bias(graph: GraphWriter) -> str:
    """0 where there is a token and `FAR_BELOW` where there is padding: `(batch, 1, 1, length)`."""
    mask = graph.node("Cast", ATTENTION_MASK, to=1)
    bias = graph.node("Mul", graph.node("Sub", graph.floats(1), mask), graph.floats(FAR_BELOW))
    return graph.node("Unsqueeze", bias, graph.integers(1, 2))


@dataclass(frozen=True)
class Heads:
    """The shape and scale of an attention: T5 does not scale its scores, BERT divides by the root of `width`."""

    count: int
    width: int
    scale: float


def attention(graph: GraphWriter, query: str, key: str, value: str, bias: str, heads: Heads) -> str:
    """Vaswani et al. (2017), equation 1, per head; inputs and output `(batch, length, count * width)`, `bias` added to the scores."""

    def split(x: str, order: tuple[int, ...]) -> str:
        return graph.node("Transpose", graph.node("Reshape", x, graph.integers(0, 0, heads.count, heads.width)), perm=order)

    scores = graph.node("MatMul", split(query, (0, 2, 1, 3)), split(key, (0, 2, 3, 1)))
    if heads.scale != 1:
        scores = graph.node("Mul", scores, graph.floats(heads.scale))
    shares = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
    mixed = graph.node("Transpose", graph.node("MatMul", shares, split(value, (0, 2, 1, 3))), perm=(0, 2, 1, 3))
    return graph.node("Reshape", mixed, graph.integers(0, 0, heads.count * heads.width))
