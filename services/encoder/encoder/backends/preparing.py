"""Makes an artefact of a model folder: writes the graph, quantises it, holds the gate over it. Knows no command line."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256 as hashed
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoder import artefact, gate
from encoder.backends import tokens
from encoder.backends.building import identify, write_graph
from encoder.backends.calibrating import observe
from encoder.backends.folder import ModelFolder, open_folder
from encoder.backends.graph import FP32, GRAPH_FILE, Style
from encoder.backends.int8 import TableBits
from encoder.backends.passages import Reader, limit, padding_id
from encoder.backends.protocol import Goldens, batches
from encoder.backends.session import Session
from encoder.backends.skipping import Choice, Use, choose
from encoder.canary import CANARY
from encoder.errors import GateNotPassed
from encoder.fingerprint import Identity
from encoder.ladder import geometric

Precision = Literal["int8", "fp32"]
GOLDENS = 12
TOLERANCE = {"fp32": 1e-4, "int8": 1e-3}
"""How far below 1 the cosine to a golden embedding may be: what other CPUs' rounding may change, and no wrong weight."""
RANKED = 96
"""Calibrating passages on which single layers are compared."""
TEXTS, POSITIONS = 8, 256
PACKAGES = ("onnx", "onnxruntime", "tokenizers", "numpy")
Embeddings = NDArray[np.float32]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is to be prepared; `sample` are passages of real text, of which the first ones calibrate and the others are compared.

    `tables` are the bits that a number of the embedding tables may have at most in int8.
    """

    model: str
    out: Path
    precision: Precision = "int8"
    prefix: str = ""
    max_tokens: int = 0
    sample: Sequence[str] = ()
    tables: TableBits = 16


def prepare(order: Order, tell: Tell = lambda line: None) -> Identity:
    """Publishes the artefact at `order.out`; raises `GateNotPassed` or another `ModelFault`, and then there is none."""
    folder = open_folder(order.model)
    max_tokens = limit(folder, order.max_tokens)
    preparation = _Preparation(folder, Reader.of(folder, max_tokens, order.prefix), order.sample or gate.sample(), tell)
    with artefact.publishing(order.out) as aside:
        report, chosen = preparation.quantised(aside, order.tables) if order.precision == "int8" else preparation.plain(aside)
        tokens.read(folder.tokeniser_file).save(str(aside / artefact.TOKENISER))
        identity = _identity(identify(folder, order.prefix, max_tokens), order.precision, aside)
        artefact.write_goldens(aside / artefact.GOLDENS, preparation.goldens(aside / GRAPH_FILE, TOLERANCE[order.precision]))
        report = {"fingerprint": identity.fingerprint, "precision": order.precision, **report, "bytes": _sizes(aside)}
        (aside / artefact.REPORT).write_text(json.dumps(report, indent=2) + "\n")
        more = {"versions": {name: version(name) for name in PACKAGES}, "source": folder.digest, **chosen}
        artefact.write_manifest(aside, identity, padding_id(folder), folder.lower_case, more)
    return identity


class _Preparation:
    """One model and the passages it is measured on."""

    def __init__(self, folder: ModelFolder, reader: Reader, sample: Sequence[str], tell: Tell) -> None:
        self._folder, self._reader, self._sample, self._tell = folder, reader, sample, tell
        self._passages = [reader.tokenise(text) for text in sample[gate.CALIBRATION_LINES :]]

    def plain(self, target: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Writes the graph in fp32, which is its own measure."""
        write_graph(self._folder, target)
        return {}, {}

    def quantised(self, target: Path, tables: TableBits) -> tuple[dict[str, Any], dict[str, Any]]:
        """Writes the graph in int8 with as much of it in fp32 as the gate asks for; raises `GateNotPassed`."""
        self._tell(f"looking at what {gate.CALIBRATION_LINES} passages give to the linear layers")
        calibration = [self._reader.tokenise(text) for text in self._sample[: gate.CALIBRATION_LINES]]
        groups = observe(self._folder, calibration)
        uses: dict[Use, Sequence[list[int]]] = {"gate": self._passages, "rank": calibration[:RANKED]}
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=artefact.UNFINISHED) as scratch:
            write_graph(self._folder, Path(scratch), FP32)
            self._tell(f"embedding {len(self._passages)} passages in fp32")
            exact = {use: self._embed(Path(scratch) / GRAPH_FILE, passages) for use, passages in uses.items()}

        def measure(choice: Choice, use: Use) -> gate.Nearness:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=artefact.UNFINISHED) as scratch:
                write_graph(self._folder, Path(scratch), Style(int8=choice.int8))
                return gate.compare(exact[use], self._embed(Path(scratch) / GRAPH_FILE, uses[use]))

        choice, nearness, sensitivities = choose(groups, measure, self._tell, tables)
        report = {
            **asdict(nearness),
            "goals": {"mean_cosine": gate.MEAN_COSINE, "overlap": gate.OVERLAP},
            "table_bits": choice.tables,
            "fp32_layers": choice.fp32_names,
            "precise_layers": choice.precise_names,
            "int8_share_of_linear_weights": choice.share,
            "gain_of_cosine_where_precise": sensitivities,
        }
        if not nearness.passes:
            worst = ", ".join(list(sensitivities)[:5])
            raise GateNotPassed(
                f"{self._folder.root} in int8 is too far from fp32: {nearness}; worst are {worst}. Publish it with --precision fp32."
            )
        write_graph(self._folder, target, Style(int8=choice.int8))
        return report, {key: report[key] for key in ("table_bits", "fp32_layers", "precise_layers")}

    def goldens(self, graph: Path, tolerance: float) -> Goldens:
        """Passages of all lengths, one of them longer than the model takes, and their embeddings by the graph that is published."""
        by_length = sorted(self._sample, key=len)
        picked = [by_length[round(place)] for place in np.linspace(0, len(by_length) - 1, GOLDENS - 2)]
        texts = (CANARY, *picked, " ".join(by_length[-40:]))
        return Goldens(texts, self._embed(graph, [self._reader.tokenise(text) for text in texts]), tolerance)

    def _embed(self, graph: Path, passages: Sequence[list[int]]) -> Embeddings:
        session = Session(graph)
        embeddings = np.empty((len(passages), session.dimension), np.float32)
        lengths = [len(passage) for passage in passages]
        for chosen in batches(lengths, geometric(max(lengths), TEXTS, POSITIONS)):
            together = [passages[index] for index in chosen]
            embeddings[chosen] = session.run(*self._reader.pad(together, len(together), max(map(len, together))))
        return embeddings


def _identity(fp32: Identity, precision: Precision, folder: Path) -> Identity:
    """In fp32 the space is that of the source folder; in int8 it is that of these very weights."""
    if precision == "fp32":
        return fp32
    files = {name: artefact.sha256(folder / name) for name in (artefact.GRAPH, artefact.WEIGHTS, artefact.TOKENISER)}
    return replace(fp32, precision=precision, weights=hashed(json.dumps(files, sort_keys=True).encode()).hexdigest())


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
