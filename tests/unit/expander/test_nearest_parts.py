"""No part of an interest is lost: topics by meaning for what it says as a whole, for its parts, and by its words."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.services import embedding_of
from tests.unit.expander.conftest import NUMBER

from expander import nearest as module
from expander.artefact import ArtefactFile, Topics, load
from expander.backends.cooccurrence import Cooccurrence
from expander.clients import EncoderClient
from expander.nearest import Nearest
from servicekit.client import ServiceClient, Unreachable
from servicekit.deadline import Deadline

WORDS = ["space", "aliens", "political", "thriller", "murder", "mystery", "vampires", "romance"]
REST = ["agatha", "qwerty", "books", "with", "and", ","]


@dataclass(frozen=True)
class ByWords(EncoderClient):
    """Embeds by words, in this process; `calls` holds the texts of each call. Breaks once told to."""

    service: ServiceClient = field(default=None, repr=False)  # type: ignore[assignment]
    calls: list[tuple[str, ...]] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], deadline: Deadline) -> tuple[str, list[Sequence[float]]]:
        if self.broken:
            raise Unreachable("the encoder is away")
        self.calls.append(tuple(texts))
        return "by-words", [embedding_of(text) for text in texts]


@pytest.fixture
def topics(artefact: Path) -> Topics:
    return load(artefact)


def soon() -> Deadline:
    return Deadline.after_ms(10_000)


async def found(topics: Topics, interest: str, encoder: EncoderClient | None = None) -> tuple[str, ...] | None:
    nearest = Nearest(encoder or ByWords())
    labels = await nearest.labels(topics, interest, soon())
    await nearest.close()
    return labels


async def test_a_part_that_the_whole_drowns_out_brings_its_own_topic(topics: Topics) -> None:
    assert await found(topics, "a long political thriller with some aliens") == ("political thriller", "aliens")
    assert await found(topics, "a long political thriller which has some aliens") == ("political thriller", "aliens")


async def test_without_a_second_part_there_is_only_the_whole(topics: Topics) -> None:
    assert await found(topics, "a long political thriller some aliens") == ("political thriller",)


async def test_a_part_that_a_topic_of_the_whole_is_about_brings_no_other(topics: Topics) -> None:
    assert await found(topics, "murder mystery, a murder and a mystery") == ("murder mystery",)


async def test_a_part_that_names_nothing_brings_nothing(topics: Topics) -> None:
    assert await found(topics, "a political thriller with qwerty") == ("political thriller",)
    assert await found(topics, "qwerty with asdfgh") == ()


async def test_the_topics_of_parts_come_before_further_ones_of_the_whole(topics: Topics) -> None:
    assert await found(topics, "political spy thriller thriller with aliens") == ("political thriller", "aliens", "spy thriller")


async def test_an_interest_and_its_parts_are_embedded_in_one_call_of_bounded_size(topics: Topics) -> None:
    encoder = ByWords()
    await found(topics, ", ".join(f"thing{n} thriller" for n in range(30)), encoder)
    assert len(encoder.calls[-1]) == 1 + module.MOST_PARTS


async def test_words_that_name_a_topic_are_heard_beside_what_is_near(artefact: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact), Nearest(ByWords()))
    assert await catalogue.propose("political qwerty vampires", 5, soon()) == (
        "political thriller",
        "vampire fiction",
        "paranormal romance",
    )
    assert await catalogue.propose("political qwerty vampires", 1, soon()) == ("political thriller",)


async def test_words_that_only_hint_at_a_topic_do_not_join_what_is_near(artefact: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact), Nearest(ByWords()))
    assert await catalogue.propose("agatha political", 5, soon()) == ("political thriller",)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from([*NUMBER, *WORDS, *REST]), max_size=40), most=st.integers(1, 5))
def test_proposals_are_few_known_never_common_without_repeats_and_the_same_each_time(
    artefact: Path, topics: Topics, words: list[str], most: int
) -> None:
    async def proposed() -> tuple[str, ...]:
        catalogue = Cooccurrence(ArtefactFile(artefact), Nearest(ByWords()))
        return await catalogue.propose(" ".join(words), most, soon())

    first = asyncio.run(proposed())
    assert first == asyncio.run(proposed())
    assert len(first) == len(set(first)) <= most
    assert set(first) <= set(topics.labels) - {topics.labels[position] for position in topics.common}


async def test_without_the_encoder_the_words_alone_decide(artefact: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact), Nearest(ByWords(broken=[True])))
    without = Cooccurrence(ArtefactFile(artefact))
    for interest in ("spy thriller vampires", "agatha political", "qwerty"):
        assert await catalogue.propose(interest, 5, soon()) == await without.propose(interest, 5, soon())
