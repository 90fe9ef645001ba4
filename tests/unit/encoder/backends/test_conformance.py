"""One suite for every backend: whatever runs the model, embeddings keep the same promises.

A backend whose packages are not installed is skipped; Neuron runs on a fake device that computes with torch.
"""

import asyncio
import importlib.util
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder import gate
from encoder.backends.preparing import Order, prepare
from encoder.backends.protocol import Backend, Goldens, ObserveRun, embed, goldens, open_backend
from encoder.batching import Batcher, Embedded
from encoder.errors import EmbeddingBroken
from encoder.metrics import EncoderMetrics
from encoder.settings import Settings
from servicekit.deadline import Deadline

TORCH = all(importlib.util.find_spec(package) for package in ("torch", "transformers"))
MAX_TOKENS = 24
COSINES = {"fp32": 1 - 1e-5, "bf16": 1 - 5e-3, "int8": 1 - 2e-2}
"""At least what two embeddings of one passage have, by precision: sums are made in another order, and rounding follows it."""
KINDS = ("hashing", "onnx", "onnx-int8", "torch", "torch-bf16", "neuron", "neuron-bf16")
MODELS = ("t5", "t5-projection", "bert", "roberta")
CASES = [(kind, model) for kind in ("onnx", "torch") for model in MODELS]
CASES += [("hashing", "none"), ("onnx-int8", "t5-projection"), ("torch-bf16", "t5"), ("torch-bf16", "bert")]
CASES += [("neuron", "t5-projection"), ("neuron", "roberta"), ("neuron-bf16", "t5")]
WITH_TORCH = [kind for kind in KINDS if kind.startswith(("torch", "neuron"))]

pytestmark = pytest.mark.filterwarnings("default")
Open = Callable[..., Backend]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny: ModuleType) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "t5": tiny.write_t5(root / "t5", "v1.1-gated-gelu-untied"),
        "t5-projection": tiny.write_t5(root / "t5-projection", "sentence-t5-projection"),
        "bert": tiny.write_bert(root / "bert", "bert-mean"),
        "roberta": tiny.write_bert(root / "roberta", "roberta"),
        "none": root,
    }


@pytest.fixture(scope="module")
def open_kind(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tiny: ModuleType) -> Open:
    """Opens a kind of backend over one of the models; what Neuron compiles is kept for the other tests."""
    store = tmp_path_factory.mktemp("store")

    def opened(kind: str, model: str, observe: ObserveRun = lambda tokens, positions: None, max_tokens: int = MAX_TOKENS) -> Backend:
        if kind in WITH_TORCH and not TORCH:
            pytest.skip("torch and transformers are not installed")
        name, _, precision = kind.partition("-")
        told: dict[str, Any] = {"backend": name, "model": str(folders[model]), "max_tokens": max_tokens, "state_dir": store / "state"}
        if name == "torch":
            told["device"] = f"cpu/{precision or 'fp32'}"
        if precision == "int8":
            told["model"] = str(int8_artefact(folders[model], max_tokens, tiny.WORDS, store))
        if name == "neuron":
            return open_neuron(told, precision or "fp32", store, observe)
        return open_backend(Settings(**told), observe)

    return opened


def open_neuron(told: dict[str, Any], precision: str, store: Path, observe: ObserveRun) -> Backend:
    from tests.fakes.neuron import FakeNeuron  # here, because they need torch

    from encoder.backends import neuron_compile
    from encoder.backends.neuron import NeuronBackend

    order = neuron_compile.Order(told["model"], "trn1", precision, told["max_tokens"], rows=(4,), lengths=(12,))
    home = neuron_compile.compile_model(order, store, FakeNeuron())
    return NeuronBackend(Settings(**told | {"device": f"trn1/{precision}", "model": str(home)}), observe, FakeNeuron())


def int8_artefact(model: Path, max_tokens: int, words: Sequence[str], store: Path) -> Path:
    """What `prepare` makes; so few numbers per embedding round worse than those of real models, so their neighbours may differ more."""
    root = store / "artefacts" / f"{model.name}-{max_tokens}"
    if not root.exists():
        drawn = np.random.default_rng(4)
        sample = [" ".join(drawn.choice(words, drawn.integers(3, 14))) for _ in range(gate.LEAST_LINES)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gate, "OVERLAP", 0.8)
            prepare(Order(str(model), root, "int8", max_tokens=max_tokens, sample=sample))
    return root


@pytest.fixture(scope="module")
def kept(open_kind: Open) -> Callable[[str, str], Backend]:
    """Like `open_kind`, but each is opened once for all tests that do not close it."""
    backends: dict[tuple[str, str], Backend] = {}

    def opened(kind: str, model: str) -> Backend:
        if (kind, model) not in backends:
            backends[kind, model] = open_kind(kind, model)
        return backends[kind, model]

    return opened


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def backend(case: tuple[str, str], kept: Callable[[str, str], Backend]) -> Backend:
    return kept(*case)


@pytest.fixture(scope="module")
def texts(tiny: ModuleType) -> list[str]:
    """Of every length up to more than the limit, in no order, and the awkward ones."""
    random = np.random.default_rng(5)
    made = [" ".join(random.choice(tiny.WORDS, words)) for words in random.permutation(30)]
    return [*made, *tiny.TEXTS, " ", "\n\t", "\x00", "naïve – 世界 🐉", "dragon " * 500]


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (first * second).sum(axis=1)
    return found


def alike(backend: Backend, first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return bool(cosines(first, second).min() >= COSINES[backend.identity.precision])


def one_by_one(backend: Backend, texts: list[str]) -> NDArray[np.float32]:
    return np.concatenate([backend.run([backend.tokenise(text)]) for text in texts])


def test_embeddings_are_unit_length_float32_of_the_dimension_it_tells(backend: Backend, texts: list[str]) -> None:
    embeddings = embed(backend, texts)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (len(texts), backend.identity.dimension)
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-5


def test_no_texts_have_no_embeddings(backend: Backend) -> None:
    assert embed(backend, []).shape == (0, backend.identity.dimension)


def test_embeddings_come_in_the_order_of_their_texts(backend: Backend, texts: list[str]) -> None:
    order = np.random.default_rng(1).permutation(len(texts))
    assert alike(backend, embed(backend, [texts[index] for index in order]), embed(backend, texts)[order])


def test_other_texts_have_other_embeddings(backend: Backend) -> None:
    first, second = embed(backend, ["love in paris", "planet war"])
    assert first @ second < COSINES[backend.identity.precision] - 1e-3


def test_what_else_is_in_a_run_and_its_padding_change_no_embedding(backend: Backend, texts: list[str]) -> None:
    together = backend.run([backend.tokenise(text) for text in texts])
    assert alike(backend, together, one_by_one(backend, texts))


def test_far_more_passages_than_the_ladder_says_are_taken_at_once(backend: Backend, texts: list[str]) -> None:
    many = [texts[index % len(texts)] for index in range(3 * backend.ladder.texts + 1)]
    assert alike(backend, backend.run([backend.tokenise(text) for text in many]), embed(backend, many))


def test_the_same_passage_gives_the_same_bytes(backend: Backend) -> None:
    passage = backend.tokenise("a dragon and the last king of winter")
    assert backend.run([passage]).tobytes() == backend.run([passage]).tobytes()


def test_a_text_is_cut_at_the_limit(backend: Backend) -> None:
    long = "dragon " * (MAX_TOKENS + 5)
    assert len(backend.tokenise(long)) == backend.identity.max_tokens == MAX_TOKENS
    assert np.array_equal(*embed(backend, [long, long + "and politics"]))
    inside, changed = embed(backend, ["dragon " * (MAX_TOKENS - 2), "dragon " * (MAX_TOKENS - 3) + "war"])
    assert inside @ changed < 1 - 1e-4


def test_another_limit_is_another_space(case: tuple[str, str], open_kind: Open, backend: Backend) -> None:
    assert open_kind(*case, max_tokens=16).identity.fingerprint != backend.identity.fingerprint


def test_an_empty_text_is_a_passage_with_an_embedding_of_its_own(backend: Backend) -> None:
    assert len(backend.tokenise("")) <= 2
    empty, other = embed(backend, ["", "planet"])
    assert abs(np.linalg.norm(empty) - 1) < 1e-5
    assert empty @ other < COSINES[backend.identity.precision]


def test_threads_that_run_at_once_get_what_they_would_get_alone(backend: Backend, texts: list[str]) -> None:
    alone = one_by_one(backend, texts)

    def some(start: int) -> NDArray[np.float32]:
        return embed(backend, texts[start:] + texts[:start])

    with ThreadPoolExecutor(4) as pool:
        for start, embeddings in enumerate(pool.map(some, range(8))):
            assert alike(backend, embeddings, np.roll(alone, -start, axis=0))


class Poisoned:
    """A backend over another that gives it, for one text, a passage that no model can take."""

    def __init__(self, backend: Backend, text: str) -> None:
        self._backend, self._text = backend, text
        self.identity, self.ladder, self.run = backend.identity, backend.ladder, backend.run

    def tokenise(self, text: str) -> Any:
        return broken(self._backend) if text == self._text else self._backend.tokenise(text)

    def close(self) -> None:
        """The other is kept for further tests."""


def broken(backend: Backend) -> Any:
    """Ids that are in no vocabulary; for the backend that has none, numbers instead of words."""
    return [10**7, 10**7] if backend.identity.backend != "hashing" else [1, 2]


def test_a_run_that_fails_raises_an_error_and_leaves_the_backend_as_it_was(backend: Backend, texts: list[str]) -> None:
    before = embed(backend, texts)
    sound = backend.tokenise("ghosts in the machine")
    for passages in ([broken(backend)], [sound, broken(backend)]):
        with pytest.raises(Exception, match=r"."):  # of whatever kind: batching takes them all
            backend.run(passages)
    assert np.array_equal(embed(backend, texts), before)


async def test_a_passage_that_breaks_the_backend_fails_its_own_request_only(backend: Backend, texts: list[str]) -> None:
    poisoned = Poisoned(backend, "poison")
    batcher = Batcher(poisoned, threads=2, max_queued_tokens=100_000, recent_bytes=0, metrics=EncoderMetrics())
    never = Deadline(math.inf)
    try:
        asked = [batcher.embed(part, never) for part in (texts[:9], ["ghosts", "poison"], texts[9:])]
        first, failed, last = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(failed, EmbeddingBroken)
        assert isinstance(first, Embedded)
        assert isinstance(last, Embedded)
        assert alike(backend, np.concatenate([first.embeddings, last.embeddings]), one_by_one(backend, texts))
        assert alike(backend, (await batcher.embed(["ghosts"], never)).embeddings, one_by_one(backend, ["ghosts"]))
    finally:
        batcher.close()


def test_closing_one_leaves_another_of_the_same_model_unharmed(case: tuple[str, str], open_kind: Open, backend: Backend) -> None:
    before = embed(backend, ["ghosts in the machine"])
    open_kind(*case).close()
    assert np.array_equal(embed(backend, ["ghosts in the machine"]), before)


def test_every_run_is_told_with_its_tokens_and_positions(case: tuple[str, str], open_kind: Open, texts: list[str]) -> None:
    runs: list[tuple[int, int]] = []
    backend = open_kind(*case, lambda tokens, positions: runs.append((tokens, positions)))
    runs.clear()
    embed(backend, texts)
    expected = sum(len(backend.tokenise(text)) for text in texts)
    assert sum(tokens for tokens, _ in runs) == expected
    assert all(tokens <= positions for tokens, positions in runs)


def test_goldens_are_embeddings_that_it_gives(backend: Backend) -> None:
    if (told := goldens(backend)) is None:
        assert backend.identity.backend != "neuron"
        return
    assert isinstance(told, Goldens)
    assert cosines(embed(backend, told.texts), told.embeddings).min() >= 1 - told.tolerance


@pytest.mark.parametrize("model", ["t5", "roberta"])
def test_embeddings_of_equal_fingerprints_are_interchangeable(model: str, kept: Callable[[str, str], Backend], texts: list[str]) -> None:
    kinds = [kind for kind in KINDS if kind != "hashing" and (TORCH or kind not in WITH_TORCH)]
    opened = {kind: kept(kind, model) for kind in kinds}
    embeddings = {kind: embed(backend, texts) for kind, backend in opened.items()}
    equal = set()
    for first, second in combinations(kinds, 2):
        if opened[first].identity.fingerprint == opened[second].identity.fingerprint:
            equal.add((first, second))
            least = 0.9999 if opened[first].identity.precision == "fp32" else COSINES["bf16"]
            assert cosines(embeddings[first], embeddings[second]).min() >= least
    expected = {("onnx", "torch"), ("onnx", "neuron"), ("torch", "neuron"), ("torch-bf16", "neuron-bf16")}
    assert equal == (expected if TORCH else set())
