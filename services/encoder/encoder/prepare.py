"""The command that prepares a model: `python -m encoder prepare MODEL --out FOLDER`. Knows no runtime."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from encoder import gate
from encoder.errors import ModelFault, ModelUnsupported

FILES = ("*.json", "*.safetensors", "*.model")
"""What a model is read from; nothing else is fetched from the hub."""


def main(arguments: Sequence[str]) -> None:
    """Prints what is done and the fingerprint; ends with status 1 and one line where the model can not be prepared."""
    parser = argparse.ArgumentParser(
        "encoder prepare", description="Makes a verified artefact of a model, in int8 when that is near enough to fp32."
    )
    parser.add_argument("model", help="`minilm`, a Hugging Face folder, or a hub id where huggingface_hub is installed")
    parser.add_argument("--out", type=Path, required=True, help="folder of the artefact; must not be there yet")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="of the linear layers and the embedding tables")
    parser.add_argument("--sample", type=Path, help="text file with a passage per line to measure on, instead of the one that is shipped")
    parser.add_argument("--prefix", default="", help="text put before every passage, such as `passage: ` for E5 models")
    parser.add_argument(
        "--max-tokens", type=int, default=0, help="tokens at which a passage is cut; 0 takes the model's own limit, else 256"
    )
    parser.add_argument(
        "--tables", type=int, choices=(8, 16), default=16, help="bits that embedding tables may have at most in int8: 8 for a small file"
    )
    asked = parser.parse_args(arguments)
    from encoder.backends.preparing import Order, prepare  # here, so that --help needs no runtime

    try:
        lines = _lines(asked.sample) if asked.sample else gate.sample()
        with tempfile.TemporaryDirectory() as fetched:
            model = _fetched(asked.model, Path(fetched))
            order = Order(model, asked.out, asked.precision, asked.prefix, asked.max_tokens, lines, asked.tables)
            identity = prepare(order, lambda line: print(line, file=sys.stderr, flush=True))
    except ModelFault as fault:
        raise SystemExit(f"encoder prepare: {type(fault).__name__}: {fault}") from None
    print(identity.fingerprint)


def _lines(file: Path) -> list[str]:
    try:
        lines = [line for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFault(f"The sample {file} can not be read ({error}); give a UTF-8 text file with a passage per line.") from error
    if len(lines) < gate.LEAST_LINES:
        raise ModelFault(
            f"The sample {file} has {len(lines)} passages; give at least {gate.LEAST_LINES}, {gate.CALIBRATION_LINES} calibrate."
        )
    return lines


def _fetched(model: str, target: Path) -> str:
    """A model that is here as it is named, else a folder with the files of that hub id."""
    if model == "minilm" or Path(model).exists() or model.count("/") != 1 or model.startswith((".", "/", "~")):
        return model
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelUnsupported(f"There is no folder {model}, and a hub id needs huggingface_hub: pip install huggingface_hub.") from error
    try:
        home = target / model.split("/")[1]
        return str(
            huggingface_hub.snapshot_download(model, local_dir=home, allow_patterns=list(FILES), ignore_patterns=["onnx/*", "openvino/*"])
        )
    except Exception as error:  # the hub's, the network's and the file system's errors share no base
        reason = " ".join(str(error).split())[:300]
        raise ModelFault(
            f"{model} is no folder here and can not be fetched from the hub ({reason}); download it and name the folder."
        ) from error
