"""Requests share batches and nothing else: neither their failures nor their deadlines nor their order."""

import asyncio
import math
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from encoder.batching import Batcher
from encoder.errors import DeadlinePassed, EmbeddingBroken, Overloaded
from encoder.ladder import Ladder
from encoder.metrics import EncoderMetrics
from encoder.request import Priority
from servicekit import context
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

    def open_one(threads: int = 1, batch_texts: int = 4, max_queued_tokens: int = 10_000, recent_bytes: int = 0) -> Batcher:
        steered.ladder = Ladder(steered.ladder.lengths, batch_texts, steered.ladder.positions)
        opened.append(Batcher(steered, threads=threads, max_queued_tokens=max_queued_tokens, recent_bytes=recent_bytes, metrics=metrics))
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


async def embeddings(batcher: Batcher, texts: list[str]) -> Any:
    return (await batcher.embed(texts, NEVER)).embeddings


def sample(metrics: EncoderMetrics, name: str, **labels: str) -> float:
    value = metrics.registry.get_sample_value(name, labels)
    assert value is not None
    return value


async def test_every_text_gets_its_own_embedding_in_order(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(threads=3)
    texts = [f"passage {number} " * (number % 9 + 1) for number in range(100)]
    assert np.array_equal(await embeddings(batcher, texts), steered.expected(texts))


@pytest.mark.parametrize("texts", [["one"], ["one two three", "four"], ["long " * 400]])
async def test_tokens_are_counted_as_the_model_takes_them(texts: list[str], steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(recent_bytes=10_000)
    for _ in range(2):  # the second time from memory
        assert (await batcher.embed(texts, NEVER)).tokens == sum(min(256, len(text.split())) for text in texts)


async def test_concurrent_requests_share_batches_and_keep_their_answers(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    requests = [asyncio.create_task(embeddings(batcher, [f"text {number}"])) for number in range(8)]
    await asyncio.sleep(0)
    steered.gate.set()
    answers = await asyncio.gather(*requests)
    await running
    assert [len(batch) for batch in steered.batches] == [1, 4, 4]
    assert np.array_equal(np.concatenate(answers), steered.expected([f"text {number}" for number in range(8)]))


async def test_batches_hold_texts_of_like_length_in_tokens(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    texts = ["incomprehensibilities misunderstood overwhelmingly", "long " * 120, "a b c", "lengthy " * 80]
    mixed = asyncio.create_task(batcher.embed(texts, NEVER))
    await asyncio.sleep(0.05)  # a thread tokenises so much
    steered.gate.set()
    await asyncio.gather(mixed, running)
    assert [sorted(texts.index(text) for text in batch) for batch in steered.batches[1:]] == [[0, 2], [1, 3]]


async def test_one_request_is_spread_over_the_free_threads(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(threads=4, batch_texts=100)
    steered.gate.clear()
    spread = asyncio.create_task(batcher.embed([f"text {number}" for number in range(8)], NEVER))
    while len(steered.batches) < 4:
        await asyncio.sleep(0.001)
    steered.gate.set()
    await spread
    assert list(map(len, steered.batches)) == [2, 2, 2, 2]


async def test_equal_texts_are_run_once(steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    requests = [asyncio.create_task(embeddings(batcher, ["same", f"own {number}", "same"])) for number in range(3)]
    await asyncio.sleep(0)
    steered.gate.set()
    answers = await asyncio.gather(*requests, running)
    assert sorted(text for batch in steered.batches[1:] for text in batch) == ["own 0", "own 1", "own 2", "same"]
    for number, answer in enumerate(answers[:3]):
        assert np.array_equal(answer, steered.expected(["same", f"own {number}", "same"]))
    assert sample(metrics, "encoder_shared_texts_total") == 5


async def test_a_text_is_tokenised_once(steered: Any, open_batcher: OpenBatcher) -> None:
    await open_batcher().embed(["same", "other", "same"], NEVER)
    assert steered.tokenised == ["same", "other"]


async def test_a_recent_text_costs_no_run(steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    batcher = open_batcher(recent_bytes=100_000)
    first = await embeddings(batcher, ["once", "more"])
    again = await embeddings(batcher, ["more", "new", "once"])
    assert [text for batch in steered.batches for text in batch] == ["once", "more", "new"]
    assert np.array_equal(again[[2, 0]], first)
    assert sample(metrics, "encoder_recent_hits_total") == 2
    assert sample(metrics, "encoder_recent_bytes") > 0


async def test_failures_are_not_remembered(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(recent_bytes=100_000)
    for text in ("nan", "explode", "nan", "explode"):
        with pytest.raises(EmbeddingBroken):
            await batcher.embed([text], NEVER)
    assert steered.batches == [["nan"], ["explode"], ["nan"], ["explode"]]


async def test_a_large_request_is_tokenised_beside_the_event_loop(
    steered: Any, open_batcher: OpenBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, tokenise = [], steered.tokenise

    def recorded(text: str) -> Any:
        threads.append(threading.current_thread())
        return tokenise(text)

    monkeypatch.setattr(steered, "tokenise", recorded)
    await open_batcher(threads=3).embed(["small"], NEVER)
    await open_batcher(threads=3).embed([f"{number} large " * 100 for number in range(20)], NEVER)
    assert threads[0] is threading.main_thread()
    assert len(set(threads[1:])) == 1
    assert threads[1] is not threading.main_thread()


async def test_a_passed_deadline_starts_nothing(steered: Any, open_batcher: OpenBatcher) -> None:
    with pytest.raises(DeadlinePassed, match="x-deadline-ms"):
        await open_batcher().embed(["late"], Deadline.after_ms(0))
    assert steered.batches == steered.tokenised == []


async def test_passages_whose_deadline_passes_in_the_queue_are_never_embedded(
    steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics
) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    with pytest.raises(DeadlinePassed):
        await batcher.embed(["too late", "also"], Deadline.after_ms(20))
    steered.gate.set()
    await running
    await batcher.embed(["next"], NEVER)
    assert steered.batches == [["the one that runs"], ["next"]]
    assert sample(metrics, "encoder_dropped_texts_total") == 2


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
    assert sample(metrics, "encoder_queued_texts") == sample(metrics, "encoder_queued_tokens", priority="online") == 0


async def test_a_caller_that_goes_away_in_mid_batch_breaks_nothing(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    steered.gate.set()
    assert np.array_equal(await embeddings(batcher, ["next"]), steered.expected(["next"]))


async def test_a_broken_batch_does_not_break_another_request(steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    faulty = asyncio.create_task(batcher.embed(["explode", "fair"], NEVER))
    innocent = asyncio.create_task(embeddings(batcher, ["pilgrim"]))
    sharer = asyncio.create_task(embeddings(batcher, ["fair"]))
    await asyncio.sleep(0)
    steered.gate.set()
    with pytest.raises(EmbeddingBroken, match="RuntimeError"):
        await faulty
    assert np.array_equal(await innocent, steered.expected(["pilgrim"]))
    assert np.array_equal(await sharer, steered.expected(["fair"]))
    await running
    assert sorted(steered.batches[1]) == ["explode", "fair", "pilgrim"]
    assert sorted(steered.batches[2:]) == [["explode"], ["fair"], ["pilgrim"]]
    assert sample(metrics, "encoder_failed_batches_total") == 2


async def test_the_rest_of_a_failed_request_is_not_embedded(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(batch_texts=2)
    with pytest.raises(EmbeddingBroken):
        await batcher.embed([f"explode {number}" for number in range(10)], NEVER)
    await batcher.embed(["after"], NEVER)
    assert steered.batches[-1] == ["after"]
    assert len(steered.batches) == 2


@pytest.mark.parametrize("text", ["nan", "short"])
async def test_what_is_no_embedding_never_leaves(text: str, steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    faulty = asyncio.create_task(batcher.embed(["fine", text], NEVER))
    innocent = asyncio.create_task(embeddings(batcher, ["mine"]))
    await asyncio.sleep(0)
    steered.gate.set()
    with pytest.raises(EmbeddingBroken, match="passage 1 is not finite or not unit length"):
        await faulty
    assert np.isfinite(await innocent).all()
    await running


async def test_a_text_that_the_tokeniser_fails_on_fails_its_request_only(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    with pytest.raises(EmbeddingBroken, match="can not take passage 1 "):
        await batcher.embed(["fine", "untokenisable"], NEVER)
    assert np.array_equal(await embeddings(batcher, ["fine"]), steered.expected(["fine"]))


async def test_too_many_held_tokens_are_refused_before_work_starts(
    steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics
) -> None:
    batcher = open_batcher(max_queued_tokens=12)
    running = await held_back(batcher, steered)  # four tokens
    waiting = asyncio.create_task(batcher.embed(["word " * 9], NEVER))
    await asyncio.sleep(0)
    for texts in (["a"], ["b"] * 100):
        with pytest.raises(Overloaded, match="2 passages are being embedded or wait"):
            await batcher.embed(texts, NEVER)
    assert sample(metrics, "encoder_requests_overloaded_total") == 2
    assert steered.tokenised == ["the one that runs", "word " * 9]
    steered.gate.set()
    await asyncio.gather(running, waiting)
    await batcher.embed(["a"] * 100, NEVER)
    assert sample(metrics, "encoder_queued_tokens", priority="online") == 0


async def test_fresh_checks_work_when_the_queue_is_full_and_ask_the_model(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher(max_queued_tokens=1, recent_bytes=10_000)
    await batcher.embed(["canary"], NEVER)
    running = await held_back(batcher, steered, "canary that runs")
    checked = asyncio.create_task(batcher.embed_anew(["canary"], NEVER))
    await asyncio.sleep(0)
    steered.gate.set()
    await asyncio.gather(checked, running)
    assert steered.batches[-1] == ["canary"]


async def test_online_passages_are_run_before_bulk_ones(steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    bulk = asyncio.create_task(batcher.embed([f"bulk {number}" for number in range(20)], NEVER, Priority.BULK))
    await asyncio.sleep(0)
    online = asyncio.create_task(batcher.embed(["online first"], NEVER))
    await asyncio.sleep(0)
    steered.gate.set()
    await asyncio.gather(running, bulk, online)
    assert steered.batches[1] == ["online first"]
    assert sample(metrics, "encoder_bulk_queue_wait_seconds_count") == 5
    assert sample(metrics, "encoder_queue_wait_seconds_count") == 2


async def test_what_was_done_is_counted(open_batcher: OpenBatcher, metrics: EncoderMetrics) -> None:
    await open_batcher(batch_texts=4).embed(["one", "two", "six"], NEVER)
    assert sample(metrics, "encoder_texts_total") == 3
    for name in ("batches_total", "inference_seconds_count", "queue_wait_seconds_count", "tokenisation_seconds_count"):
        assert sample(metrics, f"encoder_{name}") == 1


async def test_every_stage_of_a_request_is_timed(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    running = await held_back(batcher, steered)
    timings: dict[str, float] = {}
    context.stage_timings.set(timings)
    waiting = asyncio.create_task(batcher.embed(["waits"], NEVER))
    await asyncio.sleep(0.05)
    steered.gate.set()
    await asyncio.gather(waiting, running)
    assert set(timings) == {"tokenise", "queue", "run"}
    assert timings["queue"] >= 45 > timings["run"]


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_behind_whatever_callers_do(
    seed: int, steered: Any, open_batcher: OpenBatcher, metrics: EncoderMetrics
) -> None:
    """Callers of both priorities ask for shared and broken texts, too late, and leave; who gets an answer gets the right one."""
    batcher, drawn, answered = open_batcher(threads=3, recent_bytes=5_000, max_queued_tokens=2_000), random.Random(seed), 0

    async def caller() -> None:
        nonlocal answered
        await asyncio.sleep(drawn.random() * 0.2)
        texts = [f"{'word ' * drawn.randrange(8)}{drawn.randrange(60)}" for _ in range(drawn.randrange(1, 30))]
        texts += drawn.choices(["nan", "explode", "fair"], [1, 1, 60])
        deadline = Deadline.after_ms(drawn.choice([1, 10, 10_000]))
        try:
            async with asyncio.timeout(drawn.choice([0.005, 10])):
                rows = (await batcher.embed(texts, deadline, drawn.choice(list(Priority)))).embeddings
        except (DeadlinePassed, EmbeddingBroken, Overloaded, TimeoutError):
            return
        assert np.array_equal(rows, steered.expected(texts))
        answered += 1

    await asyncio.gather(*(caller() for _ in range(150)))
    assert answered > 0
    assert np.array_equal(await embeddings(batcher, ["and it goes on"]), steered.expected(["and it goes on"]))
    assert sample(metrics, "encoder_queued_texts") == 0
    assert [sample(metrics, "encoder_queued_tokens", priority=priority) for priority in Priority] == [0, 0]
    async with asyncio.timeout(20):  # what left callers had begun may run still
        while batcher._runner._idle < 3:
            await asyncio.sleep(0.001)


async def test_closing_closes_the_backend(steered: Any, open_batcher: OpenBatcher) -> None:
    batcher = open_batcher()
    await batcher.embed(["last"], NEVER)
    batcher.close()
    assert steered.closed
