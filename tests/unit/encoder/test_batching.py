"""Requests share batches and nothing else: neither their failures nor their deadlines nor their order."""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from encoder.batching import Batcher
from encoder.errors import DeadlinePassed, EmbeddingBroken, Overloaded
from encoder.metrics import EncoderMetrics
from servicekit.deadline import Deadline

NEVER = Deadline(math.inf)
"""Passes at no time, however long the tests before have taken."""
OpenBatcher = Callable[..., Batcher]


@pytest.fixture
def metrics() -> EncoderMetrics:
    return EncoderMetrics()


@pytest.fixture
def open_batcher(steered: Any, metrics: EncoderMetrics) -> Iterator[OpenBatcher]:
    opened: list[Batcher] = []

    def open_one(threads: int = 1, batch_texts: int = 4, max_queued_texts: int = 1000) -> Batcher:
        opened.append(Batcher(steered, threads=threads, batch_texts=batch_texts, max_queued_texts=max_queued_texts, metrics=metrics))
        return opened[-1]

    yield open_one
    steered.gate.set()
    for batcher in opened:
        batcher.close()


async def held_back(batcher: Batcher, steered: Any, text: str = "the one that runs") -> "asyncio.Task[Any]":
    """A request whose batch is with the backend and stays there until the gate opens; all threads are busy then."""
    steered.gate.clear()
    running = asyncio.create_task(batcher.embed([text], NEVER))
    while not steered.batches:
        assert not running.done(), await running
        await asyncio.sleep(0.001)
    return running


def sample(metrics: EncoderMetrics, name: str) -> float:
    value = metrics.registry.get_sample_value(name)
    assert value is not None
    return value


async def test_every_text_gets_its_own_embedding_in_order(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(threads=3)
    texts = [f"passage {number} " * (number % 9 + 1) for number in range(100)]
    assert np.array_equal(await batcher.embed(texts, NEVER), steered.embed(texts))


async def test_concurrent_requests_share_batches_and_keep_their_answers(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    requests = [asyncio.create_task(batcher.embed([f"text {number}"], NEVER)) for number in range(8)]
    await asyncio.sleep(0)
    steered.gate.set()
    answers = await asyncio.gather(*requests)
    await running
    assert [len(batch) for batch in steered.batches] == [1, 4, 4]
    assert np.array_equal(np.concatenate(answers), steered.embed([f"text {number}" for number in range(8)]))


async def test_batches_hold_texts_of_like_length(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    mixed = asyncio.create_task(batcher.embed(["a few words", "long " * 120, "other words", "lengthy " * 80], NEVER))
    await asyncio.sleep(0)
    steered.gate.set()
    await asyncio.gather(mixed, running)
    assert [sorted(map(len, batch)) for batch in steered.batches[1:]] == [[11, 11], [600, 640]]


async def test_a_short_request_is_not_served_after_all_of_a_long_one(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(batch_texts=2)
    running = await held_back(batcher, steered)
    bulk = asyncio.create_task(batcher.embed([f"bulk {number:03}" for number in range(100)], NEVER))
    await asyncio.sleep(0)
    single = asyncio.create_task(batcher.embed(["only one"], NEVER))
    await asyncio.sleep(0)
    steered.gate.set()
    await asyncio.gather(single, bulk, running)
    assert "only one" in steered.batches[1]


async def test_one_request_is_spread_over_the_free_threads(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(threads=4, batch_texts=100)
    await batcher.embed(["same length"] * 8, NEVER)
    assert sorted(map(len, steered.batches)) == [2, 2, 2, 2]


async def test_too_many_held_passages_are_refused_before_work_starts(
    steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics
) -> None:
    batcher = open_batcher(max_queued_texts=3)
    running = await held_back(batcher, steered)
    with pytest.raises(Overloaded, match="1 passages are being embedded already and 3 more would pass the limit of 3"):
        await batcher.embed(["a", "b", "c"], NEVER)
    assert sample(metrics, "encoder_requests_overloaded_total") == 1
    steered.gate.set()
    await running
    await batcher.embed(["a", "b", "c"], NEVER)
    assert sample(metrics, "encoder_queued_texts") == 0


async def test_a_passed_deadline_starts_nothing(steered: Any, open_batcher: OpenBatcher) -> None:
    with pytest.raises(DeadlinePassed, match="x-deadline-ms"):
        await open_batcher().embed(["late"], Deadline.after_ms(0))
    assert steered.batches == []


async def test_passages_whose_deadline_passes_in_the_queue_are_never_embedded(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    with pytest.raises(DeadlinePassed):
        await batcher.embed(["too late", "also"], Deadline.after_ms(20))
    steered.gate.set()
    await running
    await batcher.embed(["next"], NEVER)
    assert steered.batches == [["the one that runs"], ["next"]]


async def test_a_caller_that_goes_away_leaves_nothing_behind(steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    gone = asyncio.create_task(batcher.embed(["gone"] * 50, NEVER))
    stays = asyncio.create_task(batcher.embed(["stays"], NEVER))
    await asyncio.sleep(0)
    assert sample(metrics, "encoder_queued_texts") == 52
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert sample(metrics, "encoder_queued_texts") == 2
    steered.gate.set()
    await asyncio.gather(running, stays)
    assert steered.batches == [["the one that runs"], ["stays"]]


async def test_a_caller_that_goes_away_in_mid_batch_breaks_nothing(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    steered.gate.set()
    assert np.array_equal(await batcher.embed(["next"], NEVER), steered.embed(["next"]))


async def test_a_broken_batch_does_not_break_another_request(steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    faulty = asyncio.create_task(batcher.embed(["explode"], NEVER))
    innocent = asyncio.create_task(batcher.embed(["pilgrim"], NEVER))
    await asyncio.sleep(0)
    steered.gate.set()
    with pytest.raises(EmbeddingBroken, match="RuntimeError"):
        await faulty
    assert np.array_equal(await innocent, steered.embed(["pilgrim"]))
    await running
    assert ["explode", "pilgrim"] in steered.batches
    assert sample(metrics, "encoder_failed_batches_total") == 2


async def test_the_rest_of_a_failed_request_is_not_embedded(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(batch_texts=2)
    with pytest.raises(EmbeddingBroken):
        await batcher.embed(["explode"] * 10, NEVER)
    await batcher.embed(["after"], NEVER)
    assert steered.batches[-1] == ["after"]
    assert len(steered.batches) <= 3


@pytest.mark.parametrize("text", ["nan", "short"])
async def test_what_is_no_embedding_never_leaves(text: str, steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    faulty = asyncio.create_task(batcher.embed(["fine", text], NEVER))
    innocent = asyncio.create_task(batcher.embed(["mine"], NEVER))
    await asyncio.sleep(0)
    steered.gate.set()
    with pytest.raises(EmbeddingBroken, match="passage 1 is not finite or not unit length"):
        await faulty
    assert np.isfinite(await innocent).all()
    await running


async def test_the_check_works_when_the_queue_is_full(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(max_queued_texts=1)
    running = await held_back(batcher, steered)
    checked = asyncio.create_task(batcher.check())
    await asyncio.sleep(0)
    steered.gate.set()
    await checked
    await running


async def test_what_was_done_is_counted(open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    await open_batcher(batch_texts=4).embed(["one", "two", "six"], NEVER)
    assert sample(metrics, "encoder_texts_total") == 3
    assert sample(metrics, "encoder_batches_total") == 1
    assert sample(metrics, "encoder_inference_seconds_count") == 1
    assert sample(metrics, "encoder_queue_wait_seconds_count") == 1
