"""Writes BERT and RoBERTa encoders as graphs. Knows nothing of pooling or of files."""

from collections.abc import Mapping
from typing import Any

from encoder.backends.checkpoint import Checkpoint
from encoder.backends.graph import INPUT_IDS, GraphWriter
from encoder.backends.layers import LEAST_OF, Heads, activation, attention, layer_norm, lookup, made_even, named_linear
from encoder.errors import ModelUnsupported

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"


def first_position(config: Mapping[str, Any]) -> int:
    """BERT counts positions from 0, RoBERTa from the one after its padding token's id (as its fairseq original does)."""
    return 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest passage its table of positions has room for."""
    return int(config["max_position_embeddings"]) - first_position(config)


def write(graph: GraphWriter, config: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """Devlin et al. (2019), post-norm; returns the hidden states `(batch, length, hidden_size)`."""
    if (kind := config.get("position_embedding_type", "absolute")) != "absolute":
        raise ModelUnsupported(f"position_embedding_type {kind!r} is not known; use a model with absolute positions.")
    tensors = checkpoint.under(WORD_EMBEDDINGS)
    epsilon, act = float(config["layer_norm_eps"]), str(config["hidden_act"])

    def norm(x: str, name: str) -> str:
        return layer_norm(graph, x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], epsilon)

    def project(x: str, name: str, least: float | None = None, taker: str = "") -> str:
        return named_linear(graph, x, name, tensors[f"{name}.weight"], tensors[f"{name}.bias"], least, taker)

    # a passage is one segment, so the embedding of segment 0 belongs to every position
    places = tensors["embeddings.position_embeddings.weight"][first_position(config) :]
    places = places + tensors["embeddings.token_type_embeddings.weight"][0]
    length = graph.node("Shape", INPUT_IDS, start=1, end=2)
    words = lookup(graph, tensors[WORD_EMBEDDINGS], INPUT_IDS)
    hidden = graph.node("Add", words, graph.node("Slice", graph.weight(places), graph.integers(0), length, graph.integers(0)))
    hidden = norm(hidden, "embeddings.LayerNorm")

    count = int(config["num_attention_heads"])
    width = int(config["hidden_size"]) // count
    heads = Heads(count, width, width**-0.5)
    for layer in range(int(config["num_hidden_layers"])):
        name = f"encoder.layer.{layer}"
        after = f"{name}.attention.output.dense"
        query, key = (project(hidden, f"{name}.attention.self.{part}") for part in ("query", "key"))
        value = project(hidden, f"{name}.attention.self.value", taker=after)
        mixed = project(made_even(graph, attention(graph, query, key, value, "", heads), after), after)
        hidden = norm(graph.node("Add", hidden, mixed), f"{name}.attention.output.LayerNorm")
        inner = activation(graph, project(hidden, f"{name}.intermediate.dense"), act)
        hidden = norm(graph.node("Add", hidden, project(inner, f"{name}.output.dense", LEAST_OF.get(act))), f"{name}.output.LayerNorm")
    return hidden
