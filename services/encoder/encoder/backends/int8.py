"""What a linear layer is in int8. Knows nothing of graphs or runtimes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
"""Of the int8 values; -128 is not used, so that scales are symmetric."""
LEAST = 1e-12
"""Taken for a scale that would be 0."""
HEADROOM = 2.0
"""How much farther than calibration saw the inputs of a precise layer may reach before they are cut off: one bit of 16."""

TableBits = Literal[8, 16]
"""int8 with a scale per row, or half floats: rows are only looked up, so that bits cost room and no time."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Int8Layer:
    """A linear layer in int8: `x @ weight.T` is near `((x - least) / divisors) @ (values * scale).T + correction`."""

    values: NDArray[np.int8]
    """`(out, in)`"""
    scale: Array
    """`(out,)`"""
    divisors: Array
    """`(in,)`: they even out the inputs at the cost of the weights (Xiao et al., "SmoothQuant", 2023, equation 3)."""
    least: float | None
    """No input is less; `None` where inputs have both signs."""
    reach: float
    """The largest size of a divided input that calibration saw."""
    precise: bool = False
    """Whether inputs are taken in 16 bits, as two numbers of 8: twice the work, and the weights alone round."""

    @property
    def correction(self) -> Array:
        """`(out,)`: what `least` takes away from every input."""
        shares = np.full(len(self.divisors), self.least or 0.0) / self.divisors
        return np.asarray(self.values @ shares * self.scale, np.float32)

    @property
    def span(self) -> tuple[float, float]:
        """Between what the divided inputs are taken when precise: wider than was seen, for 16 bits have room to spare."""
        high = max(HEADROOM * self.reach, LEAST)
        return (-high if self.least is None else min(0.0, self.least / float(self.divisors.min()))), high

    def divided(self, divisors: Array) -> "Int8Layer":
        """The layer whose outputs are those of this one over `divisors` `(out,)`."""
        return replace(self, scale=self.scale / divisors)


@dataclass(frozen=True)
class Int8:
    """What of a graph is int8: linear layers by name, the others stay in fp32; and how many bits a number of an embedding table has."""

    layers: Mapping[str, Int8Layer]
    tables: TableBits = 8


def symmetric(weight: Array, axis: int) -> tuple[NDArray[np.int8], Array]:
    """`weight` as int8 and its scales, one per slice across `axis` (kept with length 1): `int8 * scale` is near `weight`."""
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), LEAST).astype(np.float32) / np.float32(LARGEST)
    return np.rint(weight / scale).astype(np.int8), scale
