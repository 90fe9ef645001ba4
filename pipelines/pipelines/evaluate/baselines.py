"""What the product must beat: random, popularity, TF-IDF of the seeds' text, item-item collaborative filtering. Knows no service."""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipelines import collaborative
from pipelines.interactions import Interactions

Scores = NDArray[np.float64]
Baseline = Callable[[Sequence[int]], Scores]
"""Seeds, as positions in the catalogue -> a score per item `(n_items,)`."""


def text_of(item: Mapping[str, Any]) -> str:
    """Title, authors and genres in one string."""
    attributes = item["attributes"]
    return " ".join([item["title"], *attributes.get("authors", ()), *attributes.get("genres", ())]).lower()


def tf_idf(texts: Iterable[str]) -> sparse.csr_matrix:
    """Unit-length rows of (1 + log tf) * idf over words, float64 CSR `(n_texts, n_words)` (Salton and Buckley, 1988)."""
    words: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        for word in re.findall(r"[^\W_]+", text):
            rows.append(row)
            columns.append(words.setdefault(word, len(words)))
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(max(rows, default=-1) + 1, len(words)))
    counts.sum_duplicates()
    documents = np.bincount(counts.indices, minlength=len(words))
    counts.data = (1 + np.log(counts.data)) * np.log((1 + counts.shape[0]) / (1 + documents))[counts.indices]
    return (sparse.diags(1 / np.maximum(sparse.linalg.norm(counts, axis=1), 1e-12)) @ counts).tocsr()


def build(items: Sequence[Mapping[str, Any]], interactions: Interactions) -> dict[str, Baseline]:
    """The baselines by name, over the catalogue in the order of `items`."""
    position = {item["id"]: place for place, item in enumerate(items)}
    known = np.array([position[item] for item in interactions.items])
    row_of = {place: row for row, place in enumerate(known.tolist())}
    chosen = sparse.csr_matrix((np.ones(len(known)), (np.arange(len(known)), known)), shape=(len(known), len(items)))
    neighbours = (chosen.T @ collaborative.cosine(interactions.matrix) @ chosen).tocsr()
    ease = collaborative.ease(collaborative.gram(interactions.matrix))
    popular = np.asarray(interactions.matrix.sum(axis=0)).ravel() @ chosen
    texts = tf_idf(text_of(item) for item in items)
    asked = itertools.count()  # a new order for every user, the same in every run
    return {
        "random": lambda _: np.random.default_rng(next(asked)).random(len(items)),
        "popularity": lambda _: popular,
        "TF-IDF of the seeds' text": lambda seeds: np.asarray(texts @ texts[list(seeds)].sum(axis=0).T).ravel(),
        "item-item CF (cosine)": lambda seeds: np.asarray(neighbours[list(seeds)].sum(axis=0)).ravel(),
        "EASE with dropout, without text": lambda seeds: ease[[row_of[seed] for seed in seeds if seed in row_of]].sum(axis=0) @ chosen,
    }


def top(scores: Scores, seeds: Sequence[int], k: int, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Positions of the `k` best items that are not seeds (and `allowed`), best first; ties in the order of the catalogue."""
    masked = scores.astype(np.float64, copy=True)
    masked[list(seeds)] = -np.inf
    if allowed is not None:
        masked[~allowed] = -np.inf
    return np.argsort(-masked, kind="stable")[:k]
