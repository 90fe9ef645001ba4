"""Loads the encoder of a model folder as a torch module that gives unit-length embeddings. Knows nothing of batches or devices.

The tensors are those that the ONNX graph is written from, read by the same code; only the arithmetic is transformers' and torch's.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.backends import bert, t5
from encoder.backends.building import architecture
from encoder.backends.checkpoint import Checkpoint
from encoder.backends.folder import ModelFolder
from encoder.backends.pooling import Mode, Projection
from encoder.errors import FileDamaged, ModelUnsupported

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CLASSES = {
    "bert": "BertModel",
    "roberta": "RobertaModel",
    "xlm-roberta": "XLMRobertaModel",
    "camembert": "CamembertModel",
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
}
"""By `model_type`: the class of transformers that is the encoder alone."""
T5_KINDS = ("t5", "mt5")
T5_WORDS = ("shared.weight", "encoder.embed_tokens.weight")
"""One tensor under two names; a checkpoint holds it under either."""
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "gelu": torch.nn.GELU, "silu": torch.nn.SiLU}


class Embedder(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """int64 `ids` and `mask`, both `(batch, length)` -> unit-length float32 `(batch, dimension)`.

    Pooling, projections and the division by the length are float32 whatever the precision of the encoder.
    """

    def __init__(self, encoder: torch.nn.Module, pooling: Mode, projections: torch.nn.Sequential, first_position: int | None) -> None:
        super().__init__()
        self.encoder, self.projections = encoder, projections
        self._pooling, self._first_position = pooling, first_position

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Positional arguments and one tensor, as `torch_neuronx.trace` wants it."""
        options = {}
        if self._first_position is not None:  # RoBERTa would count from the ids, and so count padding tokens that are in a text
            options["position_ids"] = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0) + self._first_position
        hidden = self.encoder(input_ids=ids, attention_mask=mask, **options)[0].float()
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(self.projections(pooled), dim=1)


def load(folder: ModelFolder, precision: str, attention: Literal["sdpa", "eager"] = "sdpa") -> Embedder:
    """The module, on the CPU, in `fp32` or `bf16`; raises `FileDamaged` and `ModelUnsupported`."""
    kind, projections = str(folder.config["model_type"]), folder.projections()
    architecture(folder)  # refuses what is unknown
    encoder = _encoder(folder, kind, DTYPES[precision], attention)
    first = None if kind in T5_KINDS else bert.first_position(folder.config)
    layers = torch.nn.Sequential(*(layer for projection in projections for layer in _dense(projection)))
    embedder = Embedder(encoder, folder.pooling, layers, first)
    embedder.eval().requires_grad_(False)
    return embedder


def _encoder(folder: ModelFolder, kind: str, dtype: torch.dtype, attention: str) -> torch.nn.Module:
    import transformers  # here, because it takes seconds

    transformers.utils.logging.disable_progress_bar()
    if kind not in CLASSES:
        raise ModelUnsupported(f"{folder.config.file} has model_type {kind!r}; for torch known are {', '.join(CLASSES)}.")
    if kind in T5_KINDS:
        t5.feed_forward(folder.config)  # refuses what it does not know; transformers may not
    chosen: Any = getattr(transformers, CLASSES[kind])
    config = chosen.config_class.from_dict(dict(folder.config))
    config._attn_implementation = attention
    options = {} if kind in T5_KINDS else {"add_pooling_layer": False}
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in chosen(config, **options).state_dict().items()}
    tensors = {name: tensor.to(dtype) for name, tensor in _tensors(folder.checkpoint, kind, shapes).items()}
    module: torch.nn.Module = chosen.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype, **options)
    return module


def _tensors(checkpoint: Checkpoint, kind: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Everything the module has, so that nothing of it is left at random; what else a checkpoint holds is not read."""
    tensors = checkpoint.under(t5.FINAL_NORM if kind in T5_KINDS else bert.WORD_EMBEDDINGS)
    found = {}
    for name, shape in shapes.items():
        stored = next((other for other in T5_WORDS if other in tensors), name) if name in T5_WORDS else name
        values: NDArray[np.float32] = tensors[stored]
        if values.shape != shape:
            raise FileDamaged(f"The tensor {stored} is {values.shape} and by config.json {shape}; the two are of different models.")
        found[name] = torch.from_numpy(values)
    return found


def _dense(projection: Projection) -> list[torch.nn.Module]:
    rows, columns = projection.weight.shape
    layer = torch.nn.Linear(columns, rows, bias=projection.bias is not None)
    layer.weight = torch.nn.Parameter(torch.from_numpy(projection.weight))
    if projection.bias is not None:
        layer.bias = torch.nn.Parameter(torch.from_numpy(projection.bias))
    return [layer, ACTIVATIONS[projection.activation]()] if projection.activation else [layer]
