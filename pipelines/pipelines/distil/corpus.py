"""Puts the training texts together: which, how many of each kind, in which order. Knows nothing of models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from pipelines import sample
from pipelines.distil import catalogue, grammar, vocabulary
from pipelines.evaluate.datasets import fraction

FEWEST_WORDS, MOST_WORDS = 1, 60
HELD_BACK = 0.01
"""Share of generated phrases that are kept for measuring."""


@dataclass(frozen=True)
class Corpus:
    """`training` in a random order; `phrases` and `passages` are never trained on."""

    training: tuple[str, ...]
    phrases: tuple[str, ...]
    passages: tuple[str, ...]


@dataclass(frozen=True)
class Sizes:
    """How many texts there shall be: phrases of the grammar, strings of words, and variants of each item of the sample."""

    phrases: int
    strings: int
    variants: int


def build(sizes: Sizes, words: Sequence[str], seed: int) -> Corpus:
    """The texts for these sizes, each once; the same for the same `words` (a tokeniser's vocabulary) and seed."""
    phrases = _distinct(grammar.phrases(seed), sizes.phrases)
    measured = {text for text in phrases if fraction(f"distil {text}") < HELD_BACK}
    items = list(sample.items())
    texts = [text for text in phrases if text not in measured]
    texts += islice(vocabulary.strings(words, seed + 1), sizes.strings)
    texts += catalogue.passages(items, seed + 2, sizes.variants)
    held = tuple(catalogue.passage(item) for item in items if catalogue.held_back(item))
    training = sorted({text for text in texts if FEWEST_WORDS <= len(text.split()) <= MOST_WORDS} - measured - set(held))
    Random(seed).shuffle(training)
    return Corpus(tuple(training), tuple(sorted(measured)), held)


def _distinct(made: Iterator[str], count: int) -> list[str]:
    """The first `count` that differ, in order."""
    found: dict[str, None] = {}
    for text in made:
        found[text] = None
        if len(found) == count:
            break
    return list(found)
