"""The texts that the encoder is measured with: passages of the sample's books, and texts of a wanted number of tokens.

Knows nothing of models. No text occurs twice, so that an encoder that remembers recent ones gains nothing by it.
"""

import random
from collections.abc import Callable, Sized
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gateway.passages import passage
from pipelines import sample

SEED = 7
WORDS = ("sea", "war", "love", "king", "night", "house", "city", "road", "bird", "stone", "light", "child", "river", "door", "hand", "gold")
"""Each is one token in every vocabulary of English."""


def catalogue(count: int, first: int = 0) -> list[str]:
    """`count` passages as the gateway makes them of items, in a random order; from the second lap over the sample on with a number."""
    held = [passage(item["title"], item["attributes"], item.get("text")) for item in sample.items()]
    random.Random(SEED).shuffle(held)
    laps = (f"{text} {lap}" if lap else text for lap in range(10**6) for text in held)
    return list(islice(laps, first, first + count))


def of_tokens(tokens: int, tokenise: Callable[[str], Sized], drawn: random.Random) -> str:
    """Random words that the model takes as exactly so many tokens, special ones included."""
    spare = len(tokenise(WORDS[0])) - 1
    text = " ".join(drawn.choice(WORDS) for _ in range(max(1, tokens - spare)))
    if len(tokenise(text)) != tokens:
        raise ValueError(f"{text[:60]!r}... is {len(tokenise(text))} tokens and not {tokens}; choose words that are one token each.")
    return text


def geometric(count: int, low: int, high: int) -> NDArray[np.int64]:
    """Numbers whose logarithms are spread evenly, as the lengths of titles, tags and descriptions are; the same ones each time."""
    drawn = np.random.default_rng(SEED).uniform(np.log(low), np.log(high + 1), count)
    return np.clip(np.exp(drawn).astype(np.int64), low, high)


def uniform(count: int, low: int, high: int) -> NDArray[np.int64]:
    """Numbers spread evenly; the same ones each time."""
    return np.random.default_rng(SEED).integers(low, high + 1, count)
