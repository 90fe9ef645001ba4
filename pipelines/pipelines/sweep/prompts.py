"""Prompts of a wanted number of tokens, found by what the server counts. Knows nothing of HTTP.

Each prompt is the same words in another order, so that lengths agree and no prefix cache has seen it before. They are drawn anew in every
run, for the same reason. The expander's own prompts begin with a part that never changes, which a prefix cache reads only once.
"""

import random
from collections.abc import Awaitable, Callable

from pipelines.sweep.faults import EndpointUnusable

VOCABULARY = """
amber anchor ash autumn barley basalt beacon birch bramble bridge brook candle canyon cedar chapel cinder clay cliff cloister
copper coral cradle crane crystal dawn delta desert drift dune echo ember fable falcon feather fern flint forest fountain frost
garden garnet glacier granite grove harbour hazel heron hollow honey iron island ivory ivy jasper journal juniper kestrel kettle
ladder lagoon lantern lichen linen lotus magnet maple marble meadow mill mirror monastery moon moss mountain needle nettle oak
oasis ocean onyx orchard otter parchment pebble pepper pine plateau prairie quarry quartz quill rain raven reed ribbon river rope
saffron sail salt sand shadow silver sparrow spiral star stone storm summit thistle thunder tide timber tower valley velvet violet
walnut water willow wind winter wool
"""
WORDS = tuple(VOCABULARY.split())
STEP = 8
CORRECTIONS = 6


class Prompts:
    """Prompts of about the same number of tokens: every call of `next` gives the words in another order."""

    def __init__(self, words: list[str], tokens: int, draw: random.Random) -> None:
        self.tokens, self._words, self._draw = tokens, words, draw

    def next(self) -> str:
        return " ".join(self._draw.sample(self._words, len(self._words)))


async def of_length(wanted: int, count: Callable[[str], Awaitable[int]], draw: random.Random) -> Prompts:
    """Prompts that the server counts as close to `wanted` tokens, chat template included; raises `EndpointUnusable`.

    `count` tells the tokens of one prompt. Words cost about the same each, so a line through two counts finds the number of them, and a few
    corrections the nearest.
    """
    words = draw.choices(WORDS, k=max(STEP, wanted))
    least = await count(words[0])
    if least > wanted:
        raise EndpointUnusable(
            f"prompts of {wanted} tokens can not be made: the server counts {least} for one word, with its template. Give {least} or more."
        )
    each = max((await count(" ".join(words[:STEP])) - least) / (STEP - 1), 0.1)
    number, found = 1, least
    tried = {number: found}
    for _ in range(CORRECTIONS):
        number = min(max(1, number + round((wanted - found) / each)), len(words))
        if number in tried:
            break
        found = tried[number] = await count(" ".join(words[:number]))
    best = min(tried, key=lambda number: (abs(wanted - tried[number]), number))
    return Prompts(words[:best], tried[best], draw)
