"""Which passages are run together: the steps of lengths and the size of a batch at each. Knows nothing of models."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ladder:
    """`lengths`, ascending, in tokens: a passage belongs to the first step that holds it, and the last step holds all.

    A batch has passages of one step, at most `texts` of them and at most `positions` tokens and padding, but always one passage.
    """

    lengths: tuple[int, ...]
    texts: int
    positions: int
    runs: int = 0
    """Batches that are best run at once, where a device and not the CPUs run them; 0 for as many as there are CPUs."""

    def step(self, tokens: int) -> int:
        """The step of a passage of so many tokens, from 0 on."""
        return min(bisect_left(self.lengths, tokens), len(self.lengths) - 1)

    def fits(self, lengths: Sequence[int], tokens: int) -> bool:
        """Whether a passage of so many tokens may join a batch of passages of `lengths`."""
        return not lengths or (len(lengths) < self.texts and (len(lengths) + 1) * max(tokens, *lengths) <= self.positions)


def geometric(longest: int, texts: int, positions: int, ratio: float = 1.25, least: int = 8) -> Ladder:
    """Steps that grow by `ratio`: within one at most a fifth of a batch is padding."""
    lengths, step = [], float(least)
    while round(step) < longest:
        lengths.append(round(step))
        step *= ratio
    return Ladder((*lengths, longest), texts, positions)
