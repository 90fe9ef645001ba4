"""Leaving out topics that mean the same, with an encoder that works, is slow, breaks, or is not there."""

import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.services import Behaviour, FakeEncoder

from expander import synonyms
from expander.clients import EncoderClient
from expander.metrics import ExpanderMetrics
from expander.synonyms import Distinct, distinct
from servicekit.client import ServiceClient, connections
from servicekit.deadline import Deadline

ALIKE = ["haunted castles", "dragons", "castles that are haunted", "pirates", "cooking"]


def embedded(near: Mapping[str, float], texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Embeddings in a plane; `near` has the angle of each text, in degrees."""
    return {text: (math.cos(math.radians(near.get(text, 0))), math.sin(math.radians(near.get(text, 0)))) for text in texts}


def test_the_first_of_those_that_mean_the_same_stays_and_order_is_kept() -> None:
    topics = ("ghosts", "robots", "spectres", "whales", "androids")
    angles = {"ghosts": 0, "spectres": 20, "robots": 90, "androids": 110, "whales": 180}
    assert distinct(topics, embedded(angles, topics)) == ("ghosts", "robots", "whales")


def test_three_always_stay_and_they_are_those_least_alike() -> None:
    topics = ("a1", "b2", "c3", "d4")
    assert distinct(topics, embedded({"a1": 0, "b2": 5, "c3": 30, "d4": 10}, topics)) == ("a1", "c3", "d4")


def test_what_two_topics_do_not_share_must_be_alike_too() -> None:
    topics = ("gothic horror", "gothic romance", "spy novels", "espionage novels")
    own = {"horror": 0, "romance": 80, "spy": 150, "espionage": 160}
    angles = {"gothic horror": 40, "gothic romance": 45, "spy novels": 155, "espionage novels": 156, **own}
    texts = synonyms.passages(topics)
    assert {"horror", "romance"} <= set(texts)
    assert distinct(topics, embedded(angles, texts)) == ("gothic horror", "gothic romance", "spy novels")


def test_a_topic_that_adds_words_to_another_is_narrower_and_not_the_same() -> None:
    topics = ("fantasy", "urban fantasy", "dragons", "fantasies")
    assert distinct(topics, embedded({"dragons": 90}, synonyms.passages(topics))) == ("fantasy", "urban fantasy", "dragons")


@given(st.lists(st.text(max_size=12), max_size=5, unique=True), st.randoms(use_true_random=False))
def test_whatever_the_topics_some_of_them_stay_in_order_and_at_least_three(topics: list[str], random: st.DataObject) -> None:
    angles = {text: random.uniform(0, 360) for text in synonyms.passages(topics)}  # type: ignore[attr-defined]
    kept = distinct(topics, embedded(angles, list(angles)))
    places = [topics.index(topic) for topic in kept]
    assert places == sorted(set(places))
    assert len(kept) >= min(len(topics), synonyms.FEWEST)


def test_numbers_that_are_none_leave_every_topic_or_the_first_three() -> None:
    topics = ("a1", "b2", "c3", "d4")
    assert len(distinct(topics, dict.fromkeys(topics, (math.nan, math.nan)))) >= 3


@pytest.fixture
async def encoder() -> AsyncIterator[FakeEncoder]:
    async with FakeEncoder() as running:
        yield running


@pytest.fixture
async def client(encoder: FakeEncoder) -> AsyncIterator[EncoderClient]:
    async with connections() as session:
        yield EncoderClient(ServiceClient("encoder", encoder.url, session))


def counted(metrics: ExpanderMetrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("expander_topic_comparisons_total", {"outcome": outcome})


async def test_topics_of_the_same_words_are_removed_by_the_encoder_and_counted(encoder: FakeEncoder, client: EncoderClient) -> None:
    metrics = ExpanderMetrics()
    assert await Distinct(client, metrics).of(ALIKE, Deadline.after_ms(5_000)) == ("haunted castles", "dragons", "pirates", "cooking")
    assert all(text.startswith("books about ") for text in encoder.texts)
    assert counted(metrics, "compared") == 1
    assert metrics.registry.get_sample_value("expander_near_synonyms_total") == 1


@pytest.mark.parametrize(
    ("behaviour", "outcome"), [(Behaviour.FAILS, "refused"), (Behaviour.BREAKS_THE_CONTRACT, "refused"), (Behaviour.STALLS, "late")]
)
async def test_an_encoder_that_fails_leaves_the_topics_and_is_counted(
    encoder: FakeEncoder, client: EncoderClient, behaviour: Behaviour, outcome: str
) -> None:
    encoder.behaviour = behaviour
    metrics = ExpanderMetrics()
    began = time.monotonic()
    assert await Distinct(client, metrics).of(ALIKE, Deadline.after_ms(60_000)) == tuple(ALIKE)
    assert time.monotonic() - began < 5
    assert counted(metrics, outcome) == 1


async def test_an_encoder_that_is_gone_leaves_the_topics_and_one_that_is_back_is_used(encoder: FakeEncoder, client: EncoderClient) -> None:
    metrics = ExpanderMetrics()
    await encoder.stop()
    assert await Distinct(client, metrics).of(ALIKE, Deadline.after_ms(5_000)) == tuple(ALIKE)
    assert counted(metrics, "unreachable") == 1
    await encoder.start()
    assert len(await Distinct(client, metrics).of(ALIKE, Deadline.after_ms(5_000))) == 4


async def test_embeddings_of_nan_remove_nothing_that_must_stay(encoder: FakeEncoder, client: EncoderClient) -> None:
    encoder.behaviour = Behaviour.SENDS_NAN
    assert len(await Distinct(client, ExpanderMetrics()).of(ALIKE, Deadline.after_ms(5_000))) >= 3


async def test_a_deadline_that_has_passed_and_a_text_that_is_refused_leave_the_topics(encoder: FakeEncoder, client: EncoderClient) -> None:
    chosen = Distinct(client, ExpanderMetrics())
    assert await chosen.of(ALIKE, Deadline.after_ms(-1)) == tuple(ALIKE)
    refused = [*ALIKE[:4], encoder.refused_word]
    assert await chosen.of(refused, Deadline.after_ms(5_000)) == tuple(refused)


@pytest.mark.parametrize("topics", [(), ("ghosts",), ("ghosts", "ghost", "spectres")])
async def test_three_or_fewer_topics_are_not_worth_a_call(encoder: FakeEncoder, client: EncoderClient, topics: tuple[str, ...]) -> None:
    assert await Distinct(client, ExpanderMetrics()).of(topics, Deadline.after_ms(5_000)) == topics
    assert not encoder.calls


async def test_without_an_encoder_topics_stay_as_they_are() -> None:
    assert await Distinct(None, ExpanderMetrics()).of(ALIKE, Deadline.after_ms(5_000)) == tuple(ALIKE)
