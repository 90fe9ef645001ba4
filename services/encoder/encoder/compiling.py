"""The command `python -m encoder compile`: compiles a model for AWS Neuron ahead of time. Knows nothing of how."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from encoder.errors import ModelFault

TARGETS = ("inf2", "trn1", "trn1n", "trn2")


def main(arguments: Sequence[str]) -> None:
    """Prints the folder of the compiled model; exits with status 1 and one line when it can not be compiled."""
    told = _parser().parse_args(arguments)
    try:
        from encoder.backends.neuron_compile import Order, compile_model  # here, because they need torch and the Neuron SDK
        from encoder.backends.neuron_runtime import Runtime

        order = Order(told.model, told.target, told.precision, told.max_tokens, tuple(told.rows), tuple(told.lengths))
        print(compile_model(order, told.out, Runtime()))
    except ModuleNotFoundError as missing:
        raise SystemExit(f"encoder: the package {missing.name} is not installed; compile in an image of the AWS Neuron SDK.") from None
    except ModelFault as fault:
        raise SystemExit(f"encoder: {type(fault).__name__}: {fault}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m encoder compile", description="Compiles a model for AWS Neuron; no device is needed.")
    parser.add_argument("model", metavar="MODEL", help="`minilm` or the path of a Hugging Face model folder")
    parser.add_argument("--out", metavar="STORE", type=Path, required=True, help="folder that gets MODEL/KEY with the compiled model")
    parser.add_argument("--target", choices=TARGETS, required=True, help="the kind of device")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="of the encoder; pooling is always fp32")
    parser.add_argument("--max-tokens", type=int, default=0, help="tokens at which a passage is cut; 0: the model's own limit, else 256")
    parser.add_argument("--rows", metavar="N,N", type=_numbers, default=[1, 8], help="passages per batch, each with each length: 1,8")
    parser.add_argument("--lengths", metavar="N,N", type=_numbers, default=[], help="tokens per passage: 32, 64, ... up to the limit")
    return parser


def _numbers(text: str) -> list[int]:
    """`1,8` -> [1, 8]; raises ValueError, which argparse tells of, unless all are at least 1."""
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(text)
    return numbers
