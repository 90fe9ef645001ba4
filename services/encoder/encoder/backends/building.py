"""Builds the graph of a model folder and keeps it in the state folder. Knows no architecture beyond the list of them."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.backends import bert, t5
from encoder.backends.checkpoint import Checkpoint
from encoder.backends.folder import ModelFolder
from encoder.backends.graph import FP32, GRAPH_FILE, WEIGHTS_FILE, GraphWriter, Linear, Style
from encoder.backends.pooling import pool
from encoder.errors import ModelFault, ModelUnsupported
from encoder.fingerprint import Identity

BUILDER = "2"
"""Raise it when the graphs that are written change, so that kept ones are not used."""
MANIFEST = "manifest.json"
UNFINISHED = "building-"
ABANDONED_S = 3600.0
"""Seconds after which an unfinished build belongs to a process that was killed."""


@dataclass(frozen=True)
class Architecture:
    """How the models of one `model_type` are written; `max_tokens` is None where the architecture sets no limit."""

    write: Callable[[GraphWriter, Mapping[str, Any], Checkpoint], str]
    width_key: str
    max_tokens: Callable[[Mapping[str, Any]], int | None]


BERT = Architecture(bert.write, "hidden_size", bert.max_tokens)
T5 = Architecture(t5.write, "d_model", lambda config: None)
ARCHITECTURES = {"bert": BERT, "roberta": BERT, "xlm-roberta": BERT, "camembert": BERT, "t5": T5, "mt5": T5}


def architecture(folder: ModelFolder) -> Architecture:
    """The architecture that config.json names; raises `ModelUnsupported`."""
    if (kind := folder.config["model_type"]) not in ARCHITECTURES:
        raise ModelUnsupported(f"{folder.config.file} has model_type {kind!r}; known are {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[kind]


def dimension(folder: ModelFolder) -> int:
    """Numbers per embedding."""
    projections = folder.projections()
    return len(projections[-1].weight) if projections else int(folder.config[architecture(folder).width_key])


def identify(folder: ModelFolder, prefix: str, max_tokens: int) -> Identity:
    """The identity of what the folder's graph gives in fp32."""
    return Identity(
        model=folder.name,
        weights=folder.digest,
        precision="fp32",
        pooling=folder.pooling,
        normalisation="l2",
        prefix=prefix,
        dimension=dimension(folder),
        max_tokens=max_tokens,
        backend="onnx",
        dimensions=folder.dimensions,
    )


def kept_graph(folder: ModelFolder, state_dir: Path) -> tuple[Path, bool]:
    """The graph file of the model and whether it was built just now; an intact one from an earlier start is used again."""
    key = hashlib.sha256(f"{BUILDER} {folder.digest}".encode()).hexdigest()[:32]
    home = state_dir / "graphs" / key
    if _intact(home):
        return home / GRAPH_FILE, False
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        _build_aside(folder, home)
    except OSError as error:
        raise ModelFault(f"The graph can not be kept in {home.parent} ({error}); make room or set ENCODER_STATE_DIR elsewhere.") from error
    return home / GRAPH_FILE, True


def _build_aside(folder: ModelFolder, home: Path) -> None:
    """Builds in a folder beside `home` and renames it, so that a kept graph is whole or absent whenever the process dies."""
    for left in home.parent.glob(f"{UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home.parent))
    try:
        write_graph(folder, aside)
        (aside / MANIFEST).write_text(json.dumps({name: _sha256(aside / name) for name in (GRAPH_FILE, WEIGHTS_FILE)}))
        shutil.rmtree(home, ignore_errors=True)
        try:
            os.rename(aside, home)
        except OSError:
            if not _intact(home):  # not another process that was faster
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_graph(folder: ModelFolder, target: Path, style: Style = FP32) -> list[Linear]:
    """Writes graph and weights of the model into the folder `target`; returns the linear layers, but pooling's, in order."""
    chosen, projections = architecture(folder), folder.projections()
    with GraphWriter(target, style) as graph:
        hidden = chosen.write(graph, folder.config, folder.checkpoint)
        graph.finish(pool(graph, hidden, folder.pooling, projections), dimension(folder))
    return graph.linear_layers


def _intact(home: Path) -> bool:
    """Whether every file is as it was when it was built."""
    try:
        hashes: dict[str, str] = json.loads((home / MANIFEST).read_bytes())
        return set(hashes) == {GRAPH_FILE, WEIGHTS_FILE} and all(_sha256(home / name) == known for name, known in hashes.items())
    except (OSError, ValueError, TypeError):
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
