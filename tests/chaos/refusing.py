"""Writes and searches that must be refused, or that fail in the middle: they change nothing. Knows nothing of the index."""

import sqlite3
from collections.abc import Callable

import numpy as np
from tests.chaos.trial import Trial

from retriever.backends.protocol import CONTENT, Ask
from retriever.errors import (
    EmbeddingInvalid,
    FingerprintMismatch,
    GenerationNotReached,
    ItemUnknown,
    RetrieverError,
    SpaceExists,
    SpaceInvalid,
    SpaceUnknown,
    StorageFailed,
)
from retriever.upload import SpaceUpload


def refuse(trial: Trial) -> None:
    if not trial.truth.spaces:
        return
    name, item, embedding = trial.truth.content or CONTENT, trial.draw.items()[:1], trial.draw.vectors(1, 5)
    space = trial.truth.spaces[name]
    unit = trial.draw.vectors(1, space.dimension)
    refusals: list[tuple[type[RetrieverError], Callable[[], object]]] = [
        (FingerprintMismatch, lambda: trial.library.put("stranger", item, unit)),
        (FingerprintMismatch, lambda: trial.library.put_vectors(name, "stranger", [item[0].id], unit)),
        (EmbeddingInvalid, lambda: trial.library.put(space.fingerprint, item, embedding)),
        (EmbeddingInvalid, lambda: trial.library.put(space.fingerprint, item, unit * 1.1)),
        (EmbeddingInvalid, lambda: trial.library.put(space.fingerprint, item, unit * np.nan)),
        (ItemUnknown, lambda: trial.library.put_vectors(name, space.fingerprint, ["nobody"], unit)),
        (ItemUnknown, lambda: trial.library.patch([trial.draw.patch(name) for name in [*trial.draw.ids(2), "nobody"]])),
        (SpaceUnknown, lambda: trial.library.put_vectors("nowhere", space.fingerprint, ["a"], unit)),
        (SpaceUnknown, lambda: trial.library.drop_space("nowhere")),
        (SpaceUnknown, lambda: trial.library.cut_over("nowhere")),
        (SpaceUnknown, lambda: trial.library.search(Ask(unit, 1, "nowhere"))),
        (SpaceExists, lambda: trial.library.create_space(CONTENT, "f", 4, "hnsw")),
        (SpaceInvalid, lambda: trial.library.create_space("fresh", "fresh", 4, "no-such-kind")),
        (SpaceInvalid, lambda: trial.library.create_space("fresh", "fresh", trial.rng.choice((0, -1, 100_000)), "hnsw")),
        (EmbeddingInvalid, lambda: trial.library.search(Ask(embedding, 1))),
        (GenerationNotReached, lambda: trial.library.search(Ask(unit, 1, min_generation=trial.library.generation + 1))),
    ]
    trial.refused(*trial.rng.choice(refusals))


def fill_the_disk(trial: Trial) -> None:
    """A write for which SQLite finds no room, at any of its statements; it must leave no trace, and the next one must work."""
    sql: sqlite3.Connection = trial.library.catalogue._writer
    pages = sql.execute("PRAGMA page_count").fetchone()[0]
    sql.execute(f"PRAGMA max_page_count = {pages + trial.rng.randrange(3)}")
    fingerprint, dimension = trial.draw.encoder()
    items = [trial.draw.item(name, text="x" * 9_000) for name in trial.draw.some_ids(12) or ["only"]]
    embeddings = trial.draw.vectors(len(items), dimension)
    try:
        trial.library.put(fingerprint, items, embeddings)
        trial.truth.put(fingerprint, items, embeddings)
    except StorageFailed:
        trial.did["a write that found the disk full"] += 1
    finally:
        sql.execute("PRAGMA max_page_count = 1073741823")


def fail_at_the_end(trial: Trial) -> None:
    """A write of which all statements are done but the last; it must leave no trace in memory either."""
    if not (name := trial.draw.space()) or not (ids := trial.draw.ids(20)):
        return
    space, (fingerprint, dimension) = trial.truth.spaces[name], trial.draw.encoder()
    items = [trial.draw.item(one) for one in ids]
    reading = SpaceUpload("popular")
    reading.feed(b'{"id": "i1", "score": 1}')
    writes: tuple[Callable[[], object], ...] = (
        lambda: trial.library.put(fingerprint, items, trial.draw.vectors(len(items), dimension)),
        lambda: trial.library.put_vectors(name, space.fingerprint, ids, trial.draw.vectors(len(ids), space.dimension)),
        lambda: trial.library.delete(ids),
        lambda: trial.library.patch([trial.draw.patch(one) for one in ids]),
        lambda: trial.library.replace_space("popular", reading.finish()),
    )
    sql: sqlite3.Connection = trial.library.catalogue._writer
    sql.execute("CREATE TEMP TRIGGER refusing BEFORE UPDATE ON main.meta BEGIN SELECT RAISE(ABORT, 'refused by the model'); END")
    try:
        trial.refused(StorageFailed, trial.rng.choice(writes))
    finally:
        sql.execute("DROP TRIGGER refusing")
