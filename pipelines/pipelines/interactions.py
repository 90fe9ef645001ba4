"""Who touched which item, as a sparse matrix. Knows nothing of models."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

TOUCHED = frozenset({"view", "like", "review", "purchase", "rate"})
"""Event types that count as interest; a dismissal does not."""


@dataclass(frozen=True)
class Interactions:
    """`matrix[u, i]` is 1.0 where user u touched item `items[i]`: float32 CSR `(n_users, n_items)`, items in sorted order."""

    matrix: sparse.csr_matrix
    items: tuple[str, ...]

    @classmethod
    def from_events(cls, events: Iterable[Mapping[str, Any]]) -> "Interactions":
        """Repeated events of a user with an item count once."""
        users: dict[str, int] = {}
        positions: dict[str, int] = {}
        rows: list[int] = []
        columns: list[int] = []
        for event in events:
            if event["type"] in TOUCHED:
                rows.append(users.setdefault(event["user_id"], len(users)))
                columns.append(positions.setdefault(event["item_id"], len(positions)))
        items = sorted(positions)
        order = np.empty(len(items), np.int64)
        order[[positions[item] for item in items]] = np.arange(len(items))
        matrix = sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, order[columns] if columns else [])), shape=(len(users), len(items))
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return cls(matrix, tuple(items))

    def of(self, items: Collection[str]) -> "Interactions":
        """Restricted to `items`, in sorted order; users keep their rows."""
        kept = [position for position, item in enumerate(self.items) if item in items]
        return Interactions(self.matrix[:, kept], tuple(self.items[position] for position in kept))
