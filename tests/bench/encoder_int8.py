"""A T5 in int8 against torch in fp32, and against what this machine's int8 matrix products reach at best. Knows nothing of requests."""

import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tests.bench import encoder_texts
from tests.bench.encoder_models import Model, linear_flops, t5_config
from tests.bench.encoder_peer_envs import PeerFailed, Worker
from tests.bench.encoder_peer_worker import rate
from tests.bench.retriever_timing import median

from encoder import cpus
from encoder.backends.protocol import Backend

PRODUCTS = ((256, 768, 3_072), (512, 1_024, 4_096), (1_024, 768, 768), (1_024, 1_024, 1_024), (1_024, 4_096, 4_096), (2_048, 2_048, 2_048))
"""Rows, inner, columns: from those of T5-base to large ones."""
RUNS = ((1, 32), (4, 32), (8, 32), (8, 64), (8, 128), (16, 128))
"""Texts and tokens of a run."""
AGAINST_TORCH = (1, 32)
GFLOP = 1e-9


def product(rows: int, inner: int, columns: int, *, dynamic: bool) -> bytes:
    """A graph of MatMulInteger, uint8 by constant int8; `dynamic`: with DynamicQuantizeLinear before it, from float32."""
    drawn = np.random.default_rng(1)
    weight = numpy_helper.from_array(drawn.integers(-127, 127, (inner, columns), np.int8), "weight")
    zero = numpy_helper.from_array(np.array(128, np.uint8), "fixed_zero")
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])] if dynamic else []
    left = ["q", "weight", "zero"] if dynamic else ["x", "weight", "fixed_zero"]
    nodes.append(helper.make_node("MatMulInteger", left, ["y"]))
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT if dynamic else TensorProto.UINT8, [rows, inner])
    given = helper.make_tensor_value_info("y", TensorProto.INT32, [rows, columns])
    graph = helper.make_graph(nodes, "product", [taken], [given], [weight] if dynamic else [weight, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def runner(rows: int, inner: int, columns: int, *, dynamic: bool, threads: int = 1) -> Callable[[], Any]:
    """Runs the graph once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    graph = product(rows, inner, columns, dynamic=dynamic)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    drawn = np.random.default_rng(2)
    x = drawn.standard_normal((rows, inner), np.float32) if dynamic else drawn.integers(0, 255, (rows, inner), np.uint8)
    return lambda: session.run(None, {"x": x})


def together(runs: Sequence[Callable[[], Any]], amount: float, seconds: float) -> float:
    """The sum of what several threads reach side by side, each with a run of its own."""
    with ThreadPoolExecutor(len(runs)) as pool:
        return sum(pool.map(lambda run: rate(run, amount, seconds), runs))


def peaks(state: Path, seconds: float) -> list[dict[str, Any]]:
    """GFLOP/s of every kind of product, with one thread and with all CPUs."""
    told: list[dict[str, Any]] = []
    for threads in sorted({1, cpus.available()}):
        for shape in PRODUCTS:
            amount = 2 * GFLOP * float(np.prod(shape))
            row: dict[str, Any] = {"shape": shape, "threads": threads}
            for name, dynamic in (("MatMulInteger", False), ("DynamicQuantizeLinear + MatMulInteger", True)):
                row[name] = together([runner(*shape, dynamic=dynamic) for _ in range(threads)], amount, seconds)
                if threads > 1:
                    row[name] = max(row[name], rate(runner(*shape, dynamic=dynamic, threads=threads), amount, seconds))
            told.append(row)
    try:
        with Worker(state, "torch-int8") as worker:
            for row in told:
                rows, inner, columns = row["shape"]
                asked = {"rows": rows, "inner": inner, "columns": columns, "threads": row["threads"], "seconds": seconds}
                row["torch._int_mm"] = worker.ask(**asked)["gflops"]
    except PeerFailed as failed:
        print(f"  torch's int8 products could not be measured: {failed}", flush=True)
    return told


def best_of(rows: Sequence[dict[str, Any]], threads: int) -> tuple[float, str]:
    """The highest rate with so many threads, and what reached it."""
    found = [(value, f"{name} {row['shape']}") for row in rows if row["threads"] == threads for name, value in _rates(row)]
    return max(found)


def _rates(row: dict[str, Any]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in row.items() if name not in ("shape", "threads")]


def achieved(backend: Backend, shape: str, seconds: float) -> list[dict[str, Any]]:
    """GFLOP/s of the linear layers in whole runs of the model, one thread and all CPUs; all else that a run does costs time too."""
    drawn, told = random.Random(5), []
    for threads in sorted({1, cpus.available()}):
        for texts, tokens in RUNS:
            made = [backend.tokenise(encoder_texts.of_tokens(tokens, backend.tokenise, drawn)) for _ in range(texts)]
            amount = GFLOP * linear_flops(shape) * texts * tokens
            reached = together([lambda made=made: backend.run(made)] * threads, amount, seconds)  # type: ignore[misc]
            told.append({"texts": texts, "tokens": tokens, "threads": threads, "gflops": reached, "ms": 1_000 * amount * threads / reached})
    return told


def run_ms(backend: Backend, repeats: int) -> float:
    """The median of runs of one text, on one thread."""
    texts, tokens = AGAINST_TORCH
    passages = [backend.tokenise(encoder_texts.of_tokens(tokens, backend.tokenise, random.Random(6)))] * texts
    times = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        backend.run(passages)
        times.append(1_000 * (time.perf_counter() - started))
    return median(times[2:])


def against_torch(backend: Backend, state: Path, shape: str, rounds: int, repeats: int) -> dict[str, Any]:
    """One thread each, in turns; torch with two threads is told too."""
    texts, tokens = AGAINST_TORCH
    timed = []
    with Worker(state, "torch-t5", json.dumps(t5_config(shape))) as worker:
        for _ in range(rounds):
            ours = run_ms(backend, 4 * repeats)
            theirs = {n: worker.ask(batch=texts, length=tokens, threads=n, repeats=repeats)["ms"] for n in sorted({1, cpus.available()})}
            timed.append((ours, theirs))
        told = {"version": worker.version}
    return told | {
        "ours_ms": median([ours for ours, _ in timed]),
        "torch_ms": {str(n): median([theirs[n] for _, theirs in timed]) for n in timed[0][1]},
        "ratio": median([theirs[1] / ours for ours, theirs in timed]),
    }


def measure(model: Model, state: Path, shape: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Products, the model's runs, and torch."""
    backend = model.open(state)
    try:
        ours = achieved(backend, shape, seconds)
        try:
            torch: dict[str, Any] = against_torch(backend, state, shape, rounds, max(3, round(5 * seconds)))
        except PeerFailed as failed:
            torch = {"failed": str(failed)}
    finally:
        backend.close()
    products = peaks(state, seconds)
    told: dict[str, Any] = {"shape": shape, "model": model.name, "torch": torch, "runs": ours, "products": products, "threads": {}}
    for threads in sorted({row["threads"] for row in ours}):
        peak, what = best_of(products, threads)
        most = max((row for row in ours if row["threads"] == threads), key=lambda row: float(row["gflops"]))
        told["threads"][str(threads)] = {"peak": peak, "peak_of": what, "most": most, "share": most["gflops"] / peak}
    return told
