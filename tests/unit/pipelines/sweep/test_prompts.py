"""Prompts have the wanted number of tokens whatever the tokeniser, and no two are alike."""

import random
from collections.abc import Awaitable, Callable

import pytest

from pipelines.sweep import prompts
from pipelines.sweep.faults import EndpointUnusable

TOKENISERS: dict[str, Callable[[str], int]] = {
    "a token a word": lambda text: 7 + len(text.split()),
    "three tokens a word": lambda text: 30 + 3 * len(text.split()),
    "a token a letter": lambda text: 4 + len(text),
    "long words in parts": lambda text: 11 + sum(1 + len(word) // 6 for word in text.split()),
}


def counting(tokeniser: Callable[[str], int]) -> Callable[[str], Awaitable[int]]:
    async def count(text: str) -> int:
        return tokeniser(text)

    return count


@pytest.mark.parametrize("wanted", [48, 128, 512, 2048])
@pytest.mark.parametrize("name", TOKENISERS)
async def test_every_prompt_is_as_long_as_wanted(name: str, wanted: int) -> None:
    made = await prompts.of_length(wanted, counting(TOKENISERS[name]), random.Random(1))
    texts = [made.next() for _ in range(20)]
    assert all(abs(TOKENISERS[name](text) - wanted) <= max(5, 0.02 * wanted) for text in texts)
    assert made.tokens == TOKENISERS[name](texts[0])
    assert len(set(texts)) == 20 or len(texts[0].split()) < 5


async def test_two_runs_send_other_prompts() -> None:
    first, second = [await prompts.of_length(64, counting(TOKENISERS["a token a word"]), random.Random()) for _ in range(2)]
    assert first.next() != second.next()


async def test_a_length_below_the_template_is_refused_with_the_least_that_works() -> None:
    with pytest.raises(EndpointUnusable, match=r"prompts of 16 tokens .* counts 33 for one word.* Give 33 or more"):
        await prompts.of_length(16, counting(TOKENISERS["three tokens a word"]), random.Random(1))
