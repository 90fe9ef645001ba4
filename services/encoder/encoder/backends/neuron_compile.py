"""Compiles the buckets of a model folder into a store, ahead of time and without a device. Knows nothing of serving."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from encoder.backends import tokens, torch_model
from encoder.backends.building import dimension
from encoder.backends.folder import ModelFolder, open_folder
from encoder.backends.neuron_artefact import GOLDENS, MANIFEST, TOKENISER, Recipe, room, trace_name, verify, write_manifest
from encoder.backends.neuron_buckets import Bucket, grid
from encoder.backends.passages import Reader, limit, padding_id
from encoder.canary import CANARY
from encoder.errors import ModelFault, ModelUnsupported
from servicekit import logs

LOG = logs.get(__name__)
ATTEMPTS = 2
"""Of a bucket: the compiler crashes now and then without a cause."""
SHORTEST = 8
"""Tokens that a bucket has at least; the shortest goldens need that much."""
LOCK = "lock"
TRACED = "transformers"
"""The package whose code is traced: another version is another program, but is not needed where models are served."""
LOGICAL_CORE = {"trn2": ("--logical-nc-config", "2")}
"""Physical cores that a program is made for, by target; the compiler's and the runtime's own default, said so that the key has it."""


class Compiler(Protocol):
    """What is asked of the runtime; `neuron_runtime.Runtime` is the real one."""

    def versions(self) -> Mapping[str, str]:
        """Of the installed packages that a compiled model depends on."""
        ...

    def compile(self, module: torch.nn.Module, shape: tuple[int, int], options: Sequence[str], scratch: Path, file: Path) -> None:
        """Writes the trace for int64 `ids` and `mask` of `shape`; raises RuntimeError."""
        ...


@dataclass(frozen=True)
class Order:
    """What to compile; `max_tokens` 0 takes the model's own limit, `lengths` empty takes doubling ones up to it."""

    model: str
    target: str
    precision: str
    max_tokens: int = 0
    rows: tuple[int, ...] = (1, 8)
    lengths: tuple[int, ...] = ()


def compile_model(order: Order, store: Path, compiler: Compiler) -> Path:
    """The folder of the compiled model, whole; one that is there and intact is left as it is. Raises `ModelFault`.

    Buckets are kept as they are finished, so what was stopped or crashed goes on where it was.
    """
    folder = open_folder(order.model)
    max_tokens = limit(folder, order.max_tokens)
    buckets = grid(order.rows, _lengths(order.lengths, max_tokens))
    module = torch_model.load(folder, order.precision, attention="eager")
    room(buckets, sum(weight.numel() * weight.element_size() for weight in module.state_dict().values()), order.target)
    recipe = Recipe(
        model=folder.name,
        weights=folder.digest,
        pooling=folder.pooling,
        projections=tuple((len(projection.weight), projection.weight.shape[1]) for projection in folder.projections()),
        dimension=dimension(folder),
        dimensions=folder.dimensions,
        max_tokens=max_tokens,
        precision=order.precision,
        target=order.target,
        buckets=tuple(bucket.name for bucket in buckets),
        options=("--target", order.target, "--model-type", "transformer", "--auto-cast", "none", *LOGICAL_CORE.get(order.target, ())),
        versions={**compiler.versions(), TRACED: metadata.version(TRACED)},
        padding_id=padding_id(folder),
        lower_case=folder.lower_case,
    )
    home = store / folder.name / recipe.key
    if _intact(home):
        LOG.info("model_was_compiled_before", home=str(home))
        return home
    try:
        with _alone(home.with_name(f"unfinished-{recipe.key}")) as aside:
            _fill(aside, folder, module, recipe, compiler)
            shutil.rmtree(home, ignore_errors=True)
            os.rename(aside, home)
    except OSError as error:
        raise ModelFault(f"The compiled model can not be kept in {home.parent} ({error}); make room or name another --out.") from error
    return home


def _lengths(asked: Sequence[int], max_tokens: int) -> list[int]:
    """Ascending; the last is the limit, for every passage has to fit."""
    if asked and (min(asked) < SHORTEST or max(asked) > max_tokens):
        raise ModelUnsupported(f"--lengths {','.join(map(str, asked))}: take lengths from {SHORTEST} to {max_tokens}, the passages' limit.")
    steps = asked or [32 << step for step in range(16)]
    return [*(length for length in sorted(steps) if length < max_tokens), max(max_tokens, SHORTEST)]


def _fill(aside: Path, folder: ModelFolder, module: torch.nn.Module, recipe: Recipe, compiler: Compiler) -> None:
    tokens.read(folder.tokeniser_file).save(str(aside / TOKENISER))
    _write_goldens(aside, folder, module, recipe)
    for number, bucket in enumerate(recipe.shapes, 1):
        LOG.info("bucket_compiling", bucket=bucket.name, number=number, of=len(recipe.buckets))
        if not (aside / trace_name(bucket)).exists():
            _compile(aside / trace_name(bucket), bucket, module, recipe, compiler)
    write_manifest(aside, recipe)


def _compile(file: Path, bucket: Bucket, module: torch.nn.Module, recipe: Recipe, compiler: Compiler) -> None:
    part = file.with_suffix(".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with tempfile.TemporaryDirectory() as scratch:
                compiler.compile(module, (bucket.rows, bucket.length), recipe.options, Path(scratch), part)
        except RuntimeError as error:
            fault = " ".join(str(error).split())[:300]
            LOG.warning("bucket_failed", bucket=bucket.name, attempt=attempt, fault=fault)
            continue
        with part.open("rb") as written:
            os.fsync(written.fileno())  # a file under its final name is taken for whole after a crash
        os.replace(part, file)
        return
    raise ModelFault(f"The compiler failed {ATTEMPTS} times on the bucket {bucket.name} ({fault}); run it again, finished ones are kept.")


def _write_goldens(aside: Path, folder: ModelFolder, module: torch.nn.Module, recipe: Recipe) -> None:
    """What the module gives here, in the same precision, for texts from one word to more than is read of any."""
    lengths = sorted({bucket.length for bucket in recipe.shapes})
    times = [*(length // 8 for length in lengths), recipe.max_tokens]
    texts = ["a", CANARY, *(f"{CANARY} " * count + "and ghosts" for count in times)]
    reader = Reader.of(folder, recipe.max_tokens, "")
    passages = [reader.tokenise(text) for text in texts]
    with torch.inference_mode():
        rows = [module(*map(torch.from_numpy, reader.pad([passage], 1, len(passage)))).numpy() for passage in passages]
    np.savez(aside / GOLDENS, texts=np.array(texts), embeddings=np.concatenate(rows))


def _intact(home: Path) -> bool:
    if not (home / MANIFEST).exists():
        return False
    try:
        verify(home)
    except ModelFault as fault:
        LOG.warning("compiled_model_damaged", fault=str(fault))
        return False
    return True


@contextmanager
def _alone(aside: Path) -> Iterator[Path]:
    """The folder, made, with no other process in it; raises `ModelFault` where there is one."""
    aside.mkdir(parents=True, exist_ok=True)
    with (aside / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelFault(f"Another process compiles into {aside}; wait for it.") from None
        yield aside
