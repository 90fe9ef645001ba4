"""What the encoder's tests share: tiny models, goldens, backends over them."""

import base64
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.backends.hashing import HashingBackend
from encoder.backends.onnx import OnnxBackend
from encoder.backends.protocol import open_backend
from encoder.ladder import Ladder
from encoder.settings import Settings

FIXTURES = Path(__file__).parents[2] / "fixtures" / "encoder"
OpenModel = Callable[..., OnnxBackend]


def load(name: str) -> ModuleType:
    """A module of tests/fixtures/encoder; tests have no packages to import it from."""
    spec = importlib.util.spec_from_file_location(f"encoder_fixtures_{name}", FIXTURES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_fixture() -> Callable[[str], ModuleType]:
    return load


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """tests/fixtures/encoder/tiny_models.py"""
    return load("tiny_models")


@pytest.fixture(scope="session")
def goldens() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / "goldens.json").read_text())
    return found


@pytest.fixture(scope="session")
def unpack() -> Callable[[list[str]], NDArray[np.float32]]:
    """Golden rows -> float32 `(n, dim)`."""
    return lambda rows: np.stack([np.frombuffer(base64.b64decode(row), "<f4") for row in rows])


@pytest.fixture
def open_model(tmp_path: Path) -> OpenModel:
    """Opens a model folder; keyword arguments are settings."""

    def opened(model: Path | str, observe: Callable[[int, int], None] = lambda tokens, positions: None, **settings: Any) -> OnnxBackend:
        chosen: dict[str, Any] = {"model": str(model), "state_dir": tmp_path / "state"} | settings
        backend = open_backend(Settings(**chosen), observe)
        assert isinstance(backend, OnnxBackend)
        return backend

    return opened


@pytest.fixture
def t5(tmp_path: Path, tiny: ModuleType) -> Path:
    folder: Path = tiny.write_t5(tmp_path / "tiny-t5")
    return folder


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> OnnxBackend:
    """The embedded default model, built once for all tests."""
    backend = open_backend(Settings(state_dir=tmp_path_factory.mktemp("minilm")))
    assert isinstance(backend, OnnxBackend)
    return backend


@dataclass(frozen=True)
class Steered:
    """A passage whose text tests can read; as long as it has words."""

    text: str
    words: Any

    def __len__(self) -> int:
        return len(self.words)


class SteeredBackend:
    """A backend that tests hold back and break: it embeds by hashing, but waits for `gate` and fails on marked passages."""

    def __init__(self) -> None:
        self._hashing = HashingBackend(32, 0, "", lambda tokens, positions: None)
        self.identity = replace(self._hashing.identity, dimensions=(8, 16))
        self.ladder = Ladder((1, 2, 4, 8, 16, 32, 64, 128, 256), texts=4, positions=4096)
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.tokenised: list[str] = []
        self.closed = False

    def tokenise(self, text: str) -> Steered:
        self.tokenised.append(text)
        if "untokenisable" in text:
            raise RuntimeError("the tokeniser gave up")
        return Steered(text, self._hashing.tokenise(text))

    def run(self, passages: Sequence[Steered]) -> NDArray[np.float32]:
        texts = [passage.text for passage in passages]
        self.batches.append(texts)
        assert self.gate.wait(10)
        if any("explode" in text for text in texts):
            raise RuntimeError("the runtime gave up")
        embeddings = self.expected(texts)
        embeddings[["nan" in text for text in texts]] = np.nan
        embeddings[["short" in text for text in texts]] *= 0.5
        return embeddings

    def close(self) -> None:
        self.closed = True

    def expected(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the embeddings of these texts are; nothing is noted."""
        return self._hashing.run([self._hashing.tokenise(text) for text in texts])


@pytest.fixture
def steered() -> Iterator[SteeredBackend]:
    backend = SteeredBackend()
    yield backend
    backend.gate.set()
