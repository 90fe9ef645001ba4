"""Writes T5 encoders (v1.0, v1.1, mT5, sentence-t5, gtr-t5) as graphs. Knows nothing of pooling or of files."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.backends.checkpoint import Checkpoint
from encoder.backends.graph import INPUT_IDS, GraphWriter
from encoder.backends.layers import LEAST_OF, Heads, activation, attention, lookup, made_even, named_linear, rms_norm
from encoder.errors import FileDamaged, ModelUnsupported

FINAL_NORM = "encoder.final_layer_norm.weight"
FIRST_QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
RELATIVE_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


def buckets(distances: NDArray[np.int64], count: int, max_distance: int) -> NDArray[np.int64]:
    """The bucket of each distance (key position minus query position), shape kept: Raffel et al. (2020), section 2.1.

    One half of the `count` buckets is for keys ahead; in each half, half are for exact distances and the others grow with the
    logarithm up to `max_distance`. The float32 arithmetic is transformers' own, step by step, so that borders fall the same.
    """
    half = count // 2
    exact = half // 2
    size = np.abs(distances)
    logarithm = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(exact))
    large = exact + (logarithm / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)).astype(np.int64)
    return (distances > 0) * half + np.where(size < exact, size, np.minimum(large, half - 1))


def feed_forward(config: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the feed-forward layer is gated, and its activation."""
    match str(config.get("feed_forward_proj", "relu")).split("-"):
        case ["gated", "gelu"]:
            return True, "gelu_new"  # T5 v1.1 was trained with the tanh form
        case ["gated", name]:
            return True, name
        case [name]:
            return False, name
        case _:
            raise ModelUnsupported(f"feed_forward_proj {config['feed_forward_proj']!r} is not known; use relu, gated-gelu or gated-silu.")


def write(graph: GraphWriter, config: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """Raffel et al. (2020), pre-norm with unscaled attention; returns the hidden states `(batch, length, d_model)`."""
    tensors = checkpoint.under(FINAL_NORM)
    epsilon = float(config["layer_norm_epsilon"])
    gated, act = feed_forward(config)
    heads = Heads(int(config["num_heads"]), int(config["d_kv"]), 1.0)
    if (found := len(tensors[FIRST_QUERY])) != heads.count * heads.width:
        raise FileDamaged(
            f"{FIRST_QUERY} has {found} rows, but config.json says {heads.count} heads of {heads.width}; one is another model's."
        )

    def norm(x: str, name: str, taker: str = "") -> str:
        return rms_norm(graph, x, tensors[f"{name}.weight"], epsilon, taker)

    def project(x: str, name: str, least: float | None = None, taker: str = "") -> str:
        return named_linear(graph, x, name, tensors[f"{name}.weight"], least=least, taker=taker)

    def widen(x: str, name: str) -> str:
        taker = f"{name}.wo" if gated or act == "relu" else ""  # what is divided before a relu is divided after it
        if gated:
            x = graph.node("Mul", activation(graph, project(x, f"{name}.wi_0"), act), project(x, f"{name}.wi_1", taker=taker))
        else:
            x = activation(graph, project(x, f"{name}.wi", taker=taker), act)
        return made_even(graph, x, taker)

    words = "shared.weight" if "shared.weight" in tensors else "encoder.embed_tokens.weight"
    hidden = lookup(graph, tensors[words], INPUT_IDS)
    bias = _position_bias(graph, config, tensors[RELATIVE_BIAS])
    least = None if gated else LEAST_OF.get(act)
    for block in range(int(config["num_layers"])):
        name = f"encoder.block.{block}.layer"
        attend, feed = f"{name}.0.SelfAttention", f"{name}.1.DenseReluDense"
        normed = norm(hidden, f"{name}.0.layer_norm", f"{attend}.q")
        query, key = (project(normed, f"{attend}.{part}") for part in "qk")
        mixed = attention(graph, query, key, project(normed, f"{attend}.v", taker=f"{attend}.o"), bias, heads)
        hidden = graph.node("Add", hidden, project(made_even(graph, mixed, f"{attend}.o"), f"{attend}.o"))
        inner = widen(norm(hidden, f"{name}.1.layer_norm", f"{feed}.wi_0" if gated else f"{feed}.wi"), feed)
        hidden = graph.node("Add", hidden, project(inner, f"{feed}.wo", least))
    return norm(hidden, FINAL_NORM.removesuffix(".weight"))


def _position_bias(graph: GraphWriter, config: Mapping[str, Any], table: NDArray[np.float32]) -> str:
    """What each head adds for each distance: `(1, heads, length, length)`; all distances from `max_distance` on share a bucket."""
    reach = int(config.get("relative_attention_max_distance", 128))
    count = int(config.get("relative_attention_num_buckets", 32))
    by_distance = table[buckets(np.arange(-reach, reach + 1), count, reach)].T  # (heads, 2 * reach + 1)
    length = graph.node("Squeeze", graph.node("Shape", INPUT_IDS, start=1, end=2))
    zero, one = (graph.node("Squeeze", graph.integers(value)) for value in (0, 1))
    places = graph.node("Range", zero, length, one)
    distances = graph.node("Sub", graph.node("Unsqueeze", places, graph.integers(0)), graph.node("Unsqueeze", places, graph.integers(1)))
    low, high = (graph.node("Squeeze", graph.integers(value)) for value in (-reach, reach))
    entries = graph.node("Add", graph.node("Clip", distances, low, high), high)
    return graph.node("Unsqueeze", graph.node("Gather", graph.weight(by_distance), entries, axis=1), graph.integers(0))
