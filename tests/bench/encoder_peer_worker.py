"""Runs sentence-transformers and torch in an environment of their own; asked by JSON lines on stdin, answers by such on stdout.

Knows nothing of the project: it needs torch, transformers and sentence-transformers only. `threads` are torch's own inside a run.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


class SentenceTransformers:
    """`model.encode` over a folder."""

    def __init__(self, folder: str) -> None:
        sentence_transformers = importlib.import_module("sentence_transformers")  # by name: the project's own environment has it not
        self.version = sentence_transformers.__version__
        self._model = sentence_transformers.SentenceTransformer(folder, device="cpu", local_files_only=True)

    def ask(self, texts: list[str], batch: int, threads: int, rows: bool = False) -> dict[str, Any]:
        """Texts a second; with `rows` the embeddings too."""
        import torch

        torch.set_num_threads(threads)
        started = time.perf_counter()
        made = self._model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False)
        rate = len(texts) / (time.perf_counter() - started)
        return {"per_s": rate, **({"rows": np.asarray(made, np.float64).tolist()} if rows else {})}


class TorchT5:
    """transformers' T5EncoderModel in fp32, with random weights of a configuration."""

    def __init__(self, config: str) -> None:
        import torch
        import transformers

        self.version = f"torch {torch.__version__}, transformers {transformers.__version__}"
        self._model = transformers.T5EncoderModel(transformers.T5Config.from_dict(json.loads(config))).eval()

    def ask(self, batch: int, length: int, threads: int, repeats: int) -> dict[str, Any]:
        """Milliseconds of a run, the median of `repeats` after two that are not counted."""
        import torch

        torch.set_num_threads(threads)
        ids = torch.randint(1_000, 30_000, (batch, length))
        mask = torch.ones_like(ids)
        times = []
        with torch.inference_mode():
            for _ in range(repeats + 2):
                started = time.perf_counter()
                hidden = self._model(input_ids=ids, attention_mask=mask)[0]
                torch.nn.functional.normalize(hidden.mean(1), dim=1).numpy()
                times.append(1_000 * (time.perf_counter() - started))
        return {"ms": float(np.median(times[2:]))}


class TorchInt8:
    """torch's own int8 matrix product."""

    def __init__(self, _: str) -> None:
        import torch

        self.version = f"torch {torch.__version__}"

    def ask(self, rows: int, inner: int, columns: int, threads: int, seconds: float) -> dict[str, Any]:
        """GFLOP/s of `(rows, inner) @ (inner, columns)`."""
        import torch

        torch.set_num_threads(threads)
        left = torch.randint(-127, 127, (rows, inner), dtype=torch.int8)
        right = torch.randint(-127, 127, (columns, inner), dtype=torch.int8).t()
        return {"gflops": rate(lambda: torch._int_mm(left, right), 2e-9 * rows * inner * columns, seconds)}


def rate(work: Callable[[], Any], amount: float, seconds: float) -> float:
    """`amount` times the most calls a second that a fifth of the time saw."""
    work()
    best = 0.0
    for _ in range(5):
        calls, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds / 5 or not calls:
            work()
            calls += 1
        best = max(best, calls / spent)
    return amount * best


KINDS: dict[str, Callable[[str], Any]] = {"sentence-transformers": SentenceTransformers, "torch-t5": TorchT5, "torch-int8": TorchInt8}


def main() -> None:
    asked = KINDS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "")
    print(json.dumps({"version": asked.version}), flush=True)
    for line in sys.stdin:
        try:
            answer = asked.ask(**json.loads(line))
        except Exception as error:  # told to who asked, who decides
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
