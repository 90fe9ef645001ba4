"""T5 encoders in bf16 on a GPU: tokens a second, and the share of the card's own matrix rate. Knows nothing of the service.

Needs torch, transformers, onnx and the encoder's source, no installation: on a machine with a GPU, in the root of the repository,
`PYTHONPATH=services/encoder:services/shared python -m tests.bench.encoder_gpu --out gpu.json`. The module is the one that the torch backend
runs; weights are random. `encoder_all --gpu gpu.json` puts the figures on the page.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from encoder.backends.torch_model import Embedder

HEAD = 64
VOCABULARY = 32_128
RUNS = ((1, 32), (16, 32), (64, 32), (256, 32), (256, 64), (64, 128), (256, 128), (16, 512), (64, 512))
"""Texts and tokens of a run; the torch backend gives a GPU up to 256 texts and 32,768 positions at once."""
TERA = 1e-12


@dataclass(frozen=True)
class Shape:
    """An encoder of T5's family; `gated`: the feed-forward layer of v1.1."""

    width: int
    wide: int
    heads: int
    layers: int
    gated: bool

    def config(self) -> Any:
        """With the attention that the torch backend uses."""
        config = transformers.T5Config(
            vocab_size=VOCABULARY,
            d_model=self.width,
            d_kv=HEAD,
            d_ff=self.wide,
            num_heads=self.heads,
            num_layers=self.layers,
            feed_forward_proj="gated-gelu" if self.gated else "relu",
            dropout_rate=0.0,
        )
        config._attn_implementation = "sdpa"
        return config

    def operations(self, tokens: int) -> int:
        """Of one token among so many: linear layers and attention, a multiplication and an addition each."""
        inner = self.heads * HEAD
        linear = 4 * self.width * inner + (3 if self.gated else 2) * self.width * self.wide
        return self.layers * (2 * linear + 4 * tokens * inner)


SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(128, 512, 2, 2, False),
    "t5-base": Shape(768, 3_072, 12, 12, False),
    "t5-large": Shape(1_024, 4_096, 16, 24, False),
    "t5-v1_1-xl": Shape(2_048, 5_120, 32, 24, True),
    "t5-v1_1-xxl": Shape(4_096, 10_240, 64, 24, True),
}
DEFAULT = "t5-base,t5-large,t5-v1_1-xl"


class Card:
    """A device of torch."""

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def facts(self) -> dict[str, Any]:
        if self.device.type != "cuda":
            return {"name": "CPU", "torch": torch.__version__}
        held = torch.cuda.get_device_properties(self.device)
        return {"name": held.name, "memory_gib": round(held.total_memory / 2**30, 1), "torch": torch.__version__}

    def seconds(self, work: Callable[[], Any], least_s: float) -> float:
        """The median of runs, after three that are not counted; each is waited for."""
        for _ in range(3):
            work()
        self.wait()
        times: list[float] = []
        while sum(times) < least_s or len(times) < 5:
            started = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - started)
        return float(np.median(times))

    def matrix_rate(self, size: int, least_s: float) -> float:
        """TFLOP/s of a square bf16 product of random numbers."""
        a, b = (torch.randn(size, size, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        return TERA * 2 * size**3 / self.seconds(lambda: a @ b, least_s)


def module(shape: Shape, card: Card) -> torch.nn.Module:
    """As the torch backend has it: the encoder in bf16, masked mean and unit length in float32."""
    with torch.device(card.device):
        encoder = transformers.T5EncoderModel(shape.config()).to(torch.bfloat16)
    return Embedder(encoder, "mean", torch.nn.Sequential(), None).eval().requires_grad_(False)


def measured(shape: Shape, card: Card, rate: float, least_s: float, most_positions: int) -> list[dict[str, Any]]:
    """Runs from ids in the host's memory to embeddings there, as the backend does them."""
    embedder, drawn, told = module(shape, card), np.random.default_rng(3), []
    for texts, tokens in RUNS:
        if texts * tokens > most_positions:
            continue
        ids = torch.from_numpy(drawn.integers(1, VOCABULARY, (texts, tokens)))
        mask = torch.ones_like(ids)

        def run(ids: torch.Tensor = ids, mask: torch.Tensor = mask) -> Any:
            return embedder(ids.to(card.device), mask.to(card.device)).cpu()

        with torch.inference_mode():
            if not np.allclose(np.linalg.norm(run().numpy(), axis=1), 1, atol=1e-3):
                raise SystemExit(f"{texts} x {tokens}: no unit length; the figures would be worth nothing.")
            seconds = card.seconds(run, least_s)
        reached = TERA * texts * tokens * shape.operations(tokens) / seconds
        row = {"texts": texts, "tokens": tokens, "ms": 1_000 * seconds, "tokens_per_s": texts * tokens / seconds}
        told.append(row | {"tflops": reached, "share": reached / rate})
        print(
            f"  {texts:>4} x {tokens:<4} {1_000 * seconds:8.2f} ms {row['tokens_per_s']:12,.0f} tokens/s {reached:7.1f} TFLOP/s", flush=True
        )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", default=DEFAULT, help=f"with commas, of {', '.join(SHAPES)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--quick", action="store_true", help="a small product and short runs, to see that it works")
    chosen = parser.parse_args()
    card = Card(chosen.device)
    rate = card.matrix_rate(512 if chosen.quick else 8_192, chosen.seconds)
    told: dict[str, Any] = {"card": card.facts(), "matrix_tflops": rate, "transformers": transformers.__version__, "shapes": {}}
    print(f"{told['card']}: {rate:.1f} TFLOP/s in a square bf16 product", flush=True)
    for name in chosen.shapes.split(","):
        print(name, flush=True)
        told["shapes"][name] = measured(SHAPES[name], card, rate, chosen.seconds, 512 if chosen.quick else 2**20)
        if card.device.type == "cuda":
            torch.cuda.empty_cache()
        chosen.out.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
