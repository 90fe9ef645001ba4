"""Ready is what embeds, and embeds as it did when it was prepared."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from encoder.backends.protocol import Goldens, goldens
from encoder.batching import Batcher
from encoder.canary import CANARY
from encoder.errors import EmbeddingBroken, EmbeddingsChanged
from encoder.metrics import EncoderMetrics
from encoder.readiness import Readiness

TEXTS = tuple(f"golden {number}" for number in range(6))


@pytest.fixture
def batcher(steered: Any) -> Iterator[Batcher]:
    opened = Batcher(steered, threads=1, max_queued_tokens=1_000, recent_bytes=10_000, metrics=EncoderMetrics())
    yield opened
    opened.close()


@pytest.fixture
def known(steered: Any) -> Goldens:
    return Goldens(TEXTS, steered.expected(TEXTS), tolerance=0.001)


def texts_run(steered: Any) -> list[str]:
    return [text for batch in steered.batches for text in batch]


async def test_without_goldens_every_check_embeds_the_canary(batcher: Batcher, steered: Any) -> None:
    readiness = Readiness(batcher, None)
    for _ in range(2):
        await readiness.check()
    assert texts_run(steered) == [CANARY, CANARY]


async def test_all_goldens_are_compared_once_and_then_one_after_the_other(batcher: Batcher, steered: Any, known: Goldens) -> None:
    readiness = Readiness(batcher, known)
    await readiness.check()
    assert sorted(texts_run(steered)) == sorted(TEXTS)
    for _ in TEXTS:
        await readiness.check()
    assert sorted(texts_run(steered)) == sorted(TEXTS * 2)
    assert [len(batch) for batch in steered.batches[-6:]] == [1] * 6


@pytest.mark.parametrize(("turn", "telling"), [(0.1, "golden passage 5 has a cosine of 0.99500"), (3.0, "cosine of -0.98999")])
async def test_what_embeds_otherwise_is_not_ready(turn: float, telling: str, batcher: Batcher, steered: Any, known: Goldens) -> None:
    changed = known.embeddings.copy()
    across = np.zeros(32, np.float32)
    across[int(np.abs(changed[5]).argmin())] = 1
    across -= (across @ changed[5]) * changed[5]
    changed[5] = np.cos(turn) * changed[5] + np.sin(turn) * across / np.linalg.norm(across)
    readiness = Readiness(batcher, replace(known, embeddings=changed))
    for _ in range(2):
        with pytest.raises(EmbeddingsChanged, match=telling):
            await readiness.check()


async def test_what_is_within_the_tolerance_is_ready(batcher: Batcher, steered: Any, known: Goldens) -> None:
    near = known.embeddings + 0.003 * np.eye(6, 32, dtype=np.float32)
    await Readiness(batcher, replace(known, embeddings=near / np.linalg.norm(near, axis=1, keepdims=True))).check()


async def test_a_model_that_breaks_later_is_found(batcher: Batcher, steered: Any, known: Goldens) -> None:
    readiness = Readiness(batcher, known)
    await readiness.check()
    steered.expected = lambda texts: np.full((len(texts), 32), np.nan, np.float32)
    with pytest.raises(EmbeddingBroken):
        await readiness.check()


async def test_goldens_that_were_proved_stay_proved_when_a_check_is_given_up(batcher: Batcher, steered: Any, known: Goldens) -> None:
    wrong = known.embeddings.copy()
    wrong[5] = -wrong[5]
    readiness = Readiness(batcher, replace(known, embeddings=wrong))
    for _ in range(2):
        with pytest.raises(EmbeddingsChanged):
            await readiness.check()
    assert sorted(texts_run(steered)) == sorted((*TEXTS, *TEXTS[4:]))


def test_a_backend_need_not_have_goldens(steered: Any, known: Goldens) -> None:
    assert goldens(steered) is None
    steered.goldens = lambda: known
    assert goldens(steered) is known
