"""Chooses which linear layers are int8 as cheaply as the gate allows. Knows no runtime and no files.

A layer's inputs can be taken in 8 bits, in 16 (twice the work, no weight more) or the layer stays in fp32. All begin with 8, and so do
embedding tables. Where that does not pass, tables get 16 bits, which cost no time; then layers get better in the order of how much each
alone would gain, as few of them as pass.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from encoder.backends.calibrating import Group, quantise
from encoder.backends.int8 import Int8, Int8Layer, TableBits
from encoder.gate import Nearness

MOST_FP32 = 0.5
"""The share of the linear weights that may stay in fp32: with more of them int8 saves too little."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """How each group of layers is computed, by its place: those in neither set in int8 with inputs of 8 bits."""

    groups: Sequence[Group]
    layers: Sequence[dict[str, Int8Layer]]
    tables: TableBits = 8
    precise_layers: Sequence[dict[str, Int8Layer]] = ()
    precise: frozenset[int] = frozenset()
    fp32: frozenset[int] = frozenset()

    @property
    def int8(self) -> Int8:
        chosen: dict[str, Int8Layer] = {}
        for place, layers in enumerate(self.layers):
            if place not in self.fp32:
                chosen |= self.precise_layers[place] if place in self.precise else layers
        return Int8(chosen, self.tables)

    @property
    def share(self) -> float:
        """Of the linear weights, in int8."""
        total = sum(group.weights for group in self.groups)
        return 1 - sum(self.groups[place].weights for place in self.fp32) / total

    @property
    def fp32_names(self) -> list[str]:
        return self._names(self.fp32)

    @property
    def precise_names(self) -> list[str]:
        return self._names(self.precise - self.fp32)

    def _names(self, places: Iterable[int]) -> list[str]:
        return [name for place in sorted(places) for name in self.groups[place].names]


Use = Literal["rank", "gate"]
Measure = Callable[[Choice, Use], Nearness]
"""How near a choice is to fp32, on passages to rank layers by or on those of the gate; none is of both kinds."""


def choose(groups: Sequence[Group], measure: Measure, tell: Tell, tables: TableBits = 16) -> tuple[Choice, Nearness, dict[str, float]]:
    """The cheapest choice found that passes, else the best one; and what each group alone would gain in mean cosine, best first.

    `tables` are the bits that numbers of embedding tables may have at most.
    """
    tell(f"rounding {sum(len(group.layers) for group in groups)} linear layers to int8")
    choice = Choice(groups, [quantise(group) for group in groups])
    nearness, gains = measure(choice, "gate"), dict[str, float]()
    tell(f"all in int8: {nearness}")
    if not nearness.passes and tables > choice.tables:
        choice = replace(choice, tables=tables)
        nearness = measure(choice, "gate")
        tell(f"embedding tables in {tables} bits: {nearness}")
    if not nearness.passes:
        tell("rounding them again for precise inputs")
        choice = replace(choice, precise_layers=[quantise(group, precise=True) for group in groups])
    for better in (_precise, _fp32):
        if nearness.passes:
            break
        ranked, gained = _rank(choice, better, measure)
        gains = gains or gained
        choice, nearness = _fewest(choice, ranked, better, measure, tell)
    return choice, nearness, gains


def _precise(choice: Choice, places: Iterable[int]) -> Choice:
    return replace(choice, precise=choice.precise | set(places))


def _fp32(choice: Choice, places: Iterable[int]) -> Choice:
    """As many of the places as may stay in fp32."""
    better = choice
    for place in places:
        tried = replace(better, fp32=better.fp32 | {place})
        better = tried if tried.share >= 1 - MOST_FP32 else better
    return better


Better = Callable[[Choice, Iterable[int]], Choice]


def _rank(choice: Choice, better: Better, measure: Measure) -> tuple[list[int], dict[str, float]]:
    """Groups by what each alone would gain for its weights, and the gains by the name of its first layer."""
    before = measure(choice, "rank").mean_cosine
    gains = {place: measure(better(choice, [place]), "rank").mean_cosine - before for place in range(len(choice.groups))}
    by_gain = sorted(gains, key=lambda place: -gains[place])
    named = {choice.groups[place].names[0]: round(gains[place], 7) for place in by_gain}
    return sorted(gains, key=lambda place: -gains[place] / choice.groups[place].weights), named


def _fewest(choice: Choice, ranked: Sequence[int], better: Better, measure: Measure, tell: Tell) -> tuple[Choice, Nearness]:
    """The shortest head of the ranking that passes, found by halving; all of it where none does."""
    whole = better(choice, ranked)
    nearness = measure(whole, "gate")
    tell(f"{len(whole.precise_names)} layers precise, {len(whole.fp32_names)} in fp32: {nearness}")
    best, passing, failing = (whole, nearness), len(ranked), 0
    while nearness.passes and passing - failing > 1:
        middle = (passing + failing) // 2
        tried = better(choice, ranked[:middle])
        found = measure(tried, "gate")
        tell(f"{len(tried.precise_names)} layers precise, {len(tried.fp32_names)} in fp32: {found}")
        if found.passes:
            best, passing = (tried, found), middle
        else:
            failing = middle
    return best
