"""What an item and its numeric neighbours look like inside the retriever. Knows neither wire nor storage."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AttributeValue = bool | int | float | str | tuple[str, ...]
MAX_ATTRIBUTES = 64
"""That an item may have: the contract's limit, which a patch could otherwise go past little by little."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
"""Row numbers: positions in the order in which items arrived."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the catalogue; `text` stays on disk, items in memory carry None."""

    id: str
    title: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    text: str | None = None
