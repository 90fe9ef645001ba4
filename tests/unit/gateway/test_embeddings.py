import math
from collections.abc import Callable, Sequence

from gateway.embeddings import Embeddings
from servicekit.client import ServiceError, Unreachable
from servicekit.deadline import Deadline

NEVER = Deadline(math.inf)
"""Passes at no time, however long the tests before have taken."""


class Encoder:
    """Embeds a text as its upper case under a fingerprint that can change; fails while `down` or without `calls_left`; `meanwhile` runs."""

    def __init__(self) -> None:
        self.fingerprint, self.down = "one", False
        self.calls_left = 100
        self.meanwhile: Callable[[], None] = lambda: None
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str], deadline: Deadline) -> tuple[str, list[str]]:
        self.calls_left -= 1
        self.meanwhile()
        if self.down or self.calls_left < 0:
            raise Unreachable("encoder is not reachable")
        self.asked += texts
        return self.fingerprint, [text.upper() for text in texts]


async def test_only_unknown_texts_are_embedded_and_each_once() -> None:
    embeddings = Embeddings(encoder := Encoder(), 10)
    await embeddings.of(["a", "b", "a"], NEVER)
    assert (await embeddings.of(["b", "c"], NEVER)).known == {"b": "B", "c": "C"}
    assert encoder.asked == ["a", "b", "c"]


async def test_the_texts_used_longest_ago_go_first() -> None:
    embeddings = Embeddings(encoder := Encoder(), 2)
    for text in ("a", "b", "a", "c", "a"):
        await embeddings.of([text], NEVER)
    assert encoder.asked == ["a", "b", "c"]


async def test_without_room_or_encoder_nothing_is_made_up() -> None:
    embeddings = Embeddings(encoder := Encoder(), 0)
    assert (await embeddings.of(["a", "b"], NEVER)).known == {"a": "A", "b": "B"}
    encoder.down = True
    failed = await embeddings.of(["a"], NEVER)
    assert failed.known == {}
    assert isinstance(failed.failure, ServiceError)


async def test_another_fingerprint_empties_it_so_that_spaces_never_mix() -> None:
    embeddings = Embeddings(encoder := Encoder(), 10)
    await embeddings.of(["a"], NEVER)
    encoder.fingerprint = "two"
    mixed = await embeddings.of(["a", "b"], NEVER)
    assert (mixed.known, mixed.fingerprint, mixed.failure) == ({"a": "A", "b": "B"}, "two", None)
    assert encoder.asked == ["a", "b", "a"]


async def test_an_encoder_that_fails_before_known_texts_are_made_anew_is_a_failure() -> None:
    embeddings = Embeddings(encoder := Encoder(), 10)
    await embeddings.of(["a"], NEVER)
    encoder.fingerprint, encoder.calls_left = "two", 1
    mixed = await embeddings.of(["a", "b"], NEVER)
    assert (mixed.known, mixed.fingerprint) == ({"b": "B"}, "two")
    assert isinstance(mixed.failure, ServiceError)


async def test_a_known_text_stays_known_when_the_store_is_emptied_meanwhile() -> None:
    embeddings = Embeddings(encoder := Encoder(), 10)
    await embeddings.of(["a"], NEVER)
    encoder.meanwhile = embeddings.forget
    mixed = await embeddings.of(["a", "b"], NEVER)
    assert (mixed.known, mixed.fingerprint, mixed.failure) == ({"a": "A", "b": "B"}, "one", None)
