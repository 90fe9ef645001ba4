"""Which texts are run together: by length, so that little is padding. Knows token ids, no model."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

Tokens = Sequence[Sequence[int]]
POOL = 32
"""Batches' worth of texts that are sorted by length together: enough for little padding, few enough for mixed batches."""


def by_length(lengths: Sequence[int], positions: int) -> Iterator[list[int]]:
    """All indices from the shortest on, in batches of at most `positions` tokens and padding (one text at least)."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > positions:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def shuffled(lengths: Sequence[int], positions: int, seed: int) -> list[list[int]]:
    """All indices once, in batches of like lengths and random order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))
    pool = max(1, int(POOL * positions / max(1.0, float(np.mean(lengths)))))
    made = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool].tolist()
        made += [[part[place] for place in batch] for batch in by_length([lengths[index] for index in part], positions)]
    return [made[place] for place in random.permutation(len(made))]


def padded(tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor]:
    """`ids` int64 and `mask` bool, both `(texts, longest)`; padding is id 0."""
    ids = torch.zeros(len(tokens), max(map(len, tokens)), dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, passage in enumerate(tokens):
        ids[row, : len(passage)], mask[row, : len(passage)] = torch.tensor(passage), True
    return ids, mask
