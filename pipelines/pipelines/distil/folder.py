"""Writes the student as a model folder that Hugging Face and sentence-transformers open. Knows file forms, no training."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from pipelines.distil.student import EPSILON, Shape, Student, t5_weights
from pipelines.distil.tokeniser import MOST_TOKENS

KINDS = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize"))


def write(student: Student, tokeniser: dict[str, Any], target: Path) -> None:
    """Weights in float16, configuration, tokeniser, pooling and projection under `target`, which may be there already."""
    shape = student.shape
    for path, _ in KINDS[1:3]:
        (target / path).mkdir(parents=True, exist_ok=True)
    _save(t5_weights(student), target / "model.safetensors")
    projection = {"linear.weight": student.projection.weight, "linear.bias": student.projection.bias}
    _save({name: weight.detach() for name, weight in projection.items()}, target / "2_Dense" / "model.safetensors")
    _json(_config(shape), target / "config.json")
    _json({"max_seq_length": MOST_TOKENS, "do_lower_case": False}, target / "sentence_bert_config.json")
    _json({"word_embedding_dimension": shape.width, "pooling_mode_mean_tokens": True}, target / "1_Pooling" / "config.json")
    _json(_dense(shape), target / "2_Dense" / "config.json")
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(KINDS)
    ]
    _json(modules, target / "modules.json")
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    _json({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MOST_TOKENS, **special}, target / "tokenizer_config.json")
    (target / "tokenizer.json").write_text(json.dumps(tokeniser, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def _save(tensors: dict[str, torch.Tensor], file: Path) -> None:
    halved = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
    file.write_bytes(save(halved, {"format": "pt"}))  # `save_file` makes a file that only its owner may read, which no image wants


def _json(values: Any, file: Path) -> None:
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "vocab_size": shape.vocabulary,
        "d_model": shape.width,
        "d_kv": shape.head_width,
        "d_ff": shape.inner,
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "feed_forward_proj": "relu",
        "relative_attention_num_buckets": shape.buckets,
        "relative_attention_max_distance": shape.reach,
        "layer_norm_epsilon": EPSILON,
        "dropout_rate": 0.0,
        "is_encoder_decoder": False,
        "use_cache": False,
        "pad_token_id": 0,
    }


def _dense(shape: Shape) -> dict[str, Any]:
    identity = "torch.nn.modules.linear.Identity"
    return {"in_features": shape.width, "out_features": shape.dimension, "bias": True, "activation_function": identity}
