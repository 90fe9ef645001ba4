"""Topics by meaning, with an encoder that works, is slow, is replaced, or is not there."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.services import Behaviour, FakeEncoder
from tests.unit.expander.conftest import write_artefact

from expander import nearest as module
from expander.artefact import ArtefactFile, Topics, load
from expander.backends.cooccurrence import Cooccurrence
from expander.clients import EncoderClient
from expander.nearest import Nearest
from servicekit.client import ServiceClient, connections
from servicekit.deadline import Deadline


def soon() -> Deadline:
    return Deadline.after_ms(10_000)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def topics(artefact: Path) -> Topics:
    return load(artefact)


@pytest.fixture
async def encoder() -> AsyncIterator[FakeEncoder]:
    async with FakeEncoder() as running:
        yield running


@pytest.fixture
async def client(encoder: FakeEncoder) -> AsyncIterator[EncoderClient]:
    async with connections() as session:
        yield EncoderClient(ServiceClient("encoder", encoder.url, session))


@pytest.fixture
async def nearest(client: EncoderClient) -> AsyncIterator[Nearest]:
    made = Nearest(client, Clock())
    yield made
    await made.close()


async def test_the_nearest_topics_come_first_and_far_ones_not_at_all(nearest: Nearest, topics: Topics) -> None:
    assert await nearest.labels(topics, "a murder with mystery", soon()) == ("murder mystery",)
    assert await nearest.labels(topics, "qwerty", soon()) == ()


async def test_labels_and_interests_are_embedded_once(nearest: Nearest, topics: Topics, encoder: FakeEncoder) -> None:
    for _ in range(3):
        await nearest.labels(topics, "murder", soon())
    assert len(encoder.texts) == len(topics.labels) - len(topics.common) + 1


async def test_labels_are_embedded_before_anybody_asks_and_again_when_the_encoder_comes_back(
    client: EncoderClient, topics: Topics, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    encoder.behaviour = Behaviour.FAILS
    made = Nearest(client)
    made.keep_loaded(lambda: topics)
    async with asyncio.timeout(10):
        while len(encoder.calls) < 5:
            await asyncio.sleep(0.01)
        encoder.behaviour = Behaviour.ANSWERS
        while len(encoder.texts) < len(topics.labels) - len(topics.common):
            await asyncio.sleep(0.01)
        while not made._space:
            await asyncio.sleep(0.01)
    assert capsys.readouterr().out.count("encoder_not_used") == 1
    asked = len(encoder.calls)
    await asyncio.sleep(0.1)
    assert len(encoder.calls) == asked
    await made.close()


async def test_a_new_vocabulary_is_embedded_anew(nearest: Nearest, topics: Topics, tmp_path: Path) -> None:
    await nearest.labels(topics, "murder", soon())
    write_artefact(tmp_path / "other.json", topics=[*([f"thing {n}", 3] for n in range(9)), ["murder weapons", 3]])
    assert await nearest.labels(load(tmp_path / "other.json"), "murder weapons", soon()) == ("murder weapons",)


async def test_another_model_is_noticed_and_its_own_labels_are_used(nearest: Nearest, topics: Topics, encoder: FakeEncoder) -> None:
    await nearest.labels(topics, "murder", soon())
    encoder.fingerprint = "fake-2"
    assert await nearest.labels(topics, "murder mystery", soon()) is None
    assert await nearest.labels(topics, "murder mystery", soon()) == ("murder mystery",)


@pytest.mark.parametrize("behaviour", [Behaviour.FAILS, Behaviour.BREAKS_THE_CONTRACT])
async def test_an_encoder_that_fails_is_left_alone_for_a_while(
    client: EncoderClient, topics: Topics, encoder: FakeEncoder, behaviour: Behaviour
) -> None:
    clock = Clock()
    nearest, encoder.behaviour = Nearest(client, clock), behaviour
    for _ in range(5):
        assert await nearest.labels(topics, "murder", soon()) is None
    assert len(encoder.calls) == 1
    clock.now, encoder.behaviour = module.RETRY_S, Behaviour.ANSWERS
    assert await nearest.labels(topics, "murder", soon()) is not None
    await nearest.close()


async def test_one_that_stalls_costs_no_more_than_its_patience(
    client: EncoderClient, topics: Topics, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOADING_MS", 100)
    encoder.behaviour = Behaviour.STALLS
    nearest = Nearest(client)
    began = time.monotonic()
    assert [await nearest.labels(topics, "murder", soon()) for _ in range(4)] == [None] * 4
    assert time.monotonic() - began < 3
    await nearest.close()


async def test_past_the_deadline_only_what_is_remembered_is_told(nearest: Nearest, topics: Topics) -> None:
    known = await nearest.labels(topics, "murder", soon())
    assert await nearest.labels(topics, "murder", Deadline.after_ms(-1)) == known
    assert await nearest.labels(topics, "thriller", Deadline.after_ms(-1)) is None


async def test_interests_that_are_remembered_are_bounded(nearest: Nearest, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for interest in ("murder", "thriller", "romance"):
        await nearest.labels(topics, interest, soon())
    assert await nearest.labels(topics, "murder", Deadline.after_ms(-1)) is None
    assert await nearest.labels(topics, "romance", Deadline.after_ms(-1)) is not None


async def test_the_catalogue_goes_by_meaning_only_where_words_do_not_name_topics(artefact: Path, nearest: Nearest) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact), nearest)
    assert await catalogue.propose("vampires", 5, soon()) == ("paranormal romance",)
    assert await catalogue.propose("a political killing, some thriller please", 5, soon()) == ("political thriller",)
    assert await catalogue.propose("  ", 5, soon()) == ()


async def test_the_catalogue_goes_by_words_while_the_encoder_is_down(artefact: Path, nearest: Nearest, encoder: FakeEncoder) -> None:
    await encoder.stop()
    catalogue = Cooccurrence(ArtefactFile(artefact), nearest)
    assert await catalogue.propose("books like Agatha Christie", 5, soon()) == ("murder mystery",)


async def test_a_sentence_of_which_little_is_known_gets_no_topics_without_an_encoder(artefact: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact))
    assert await catalogue.propose("an agatha goes sailing round the world with one cat", 5, soon()) == ()
