"""The layout of the catalogue's SQLite file, and how older layouts become it. Knows nothing of what is asked of the tables."""

import sqlite3
from pathlib import Path

from retriever.errors import StorageFailed

VERSION = 3
PAGE_BYTES = 8_192
"""Holds five vectors of 384 dimensions and wastes little; pages of 4,096 hold two, and a fifth more is written to the log and the file."""
WORDS = "CREATE VIRTUAL TABLE words USING fts5(title, authors, prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 2')"
SPACES = "CREATE TABLE spaces (name TEXT PRIMARY KEY, kind TEXT NOT NULL, arrays BLOB NOT NULL)"
POPULARITY = "CREATE TABLE popularity (id TEXT PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID"
CENTRE = "CREATE TABLE centre (one INTEGER PRIMARY KEY CHECK (one = 1), mean BLOB NOT NULL, items INTEGER NOT NULL)"
MERGING = "CREATE TABLE IF NOT EXISTS merging (space INTEGER PRIMARY KEY)"
"""The vector spaces that somebody asked to be one segment. Retrievers that do not know of it leave it alone, so the layout is the same."""
NUMBERED = (
    # generation: how many writes were committed. content: the vector space that plays this role.
    """CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL, content INTEGER, previous INTEGER)""",
    # number: stable for the item's life, never given twice. changed: the generation that last wrote it.
    """CREATE TABLE items (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, attributes TEXT NOT NULL, text TEXT,
    changed INTEGER NOT NULL)""",
    "CREATE INDEX items_changed ON items (changed)",
    """CREATE TABLE vector_spaces (
    space INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, dimension INTEGER NOT NULL,
    kind TEXT NOT NULL, created INTEGER NOT NULL)""",
    # version: every write of a vector gets a larger one; embedding: little-endian float32.
    """CREATE TABLE vectors (
    version INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, number INTEGER NOT NULL, embedding BLOB NOT NULL,
    UNIQUE (space, number))""",
    # what followers still have to be told: deleted items, replaced uploads and changed roles are named here by generation.
    "CREATE TABLE news (generation INTEGER NOT NULL, what TEXT NOT NULL, name TEXT NOT NULL)",
    "CREATE INDEX news_generation ON news (generation)",
)
NEW = (*NUMBERED, MERGING, CENTRE, WORDS, SPACES, POPULARITY, "INSERT INTO meta VALUES (1, 0, NULL, NULL)")
FROM_2 = (
    "ALTER TABLE items RENAME TO items_2",
    *NUMBERED,
    MERGING,
    "INSERT INTO meta SELECT 1, 1, (SELECT 1 FROM identity), NULL",
    "INSERT INTO vector_spaces SELECT 1, 'content-1', fingerprint, dimension, 'hnsw', 1 FROM identity",
    "INSERT INTO items SELECT number, id, title, attributes, text, 1 FROM items_2 ORDER BY number",
    "INSERT INTO vectors SELECT number, 1, number, embedding FROM items_2 ORDER BY number",
    "DROP TABLE items_2",
    "DROP TABLE identity",
)
"""Before, the content space's embedding stood in the item's own row."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection in write-ahead mode without implicit transactions, for any one thread at a time."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a file that this makes; one that is there keeps its own
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA cache_size = -16384")  # KiB
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Brings the file to this layout, in one transaction; raises StorageFailed for a layout that it does not know."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        connection.execute(MERGING)
        return
    if version not in (0, 2):
        raise StorageFailed(
            f"{path} has the layout {version}, this retriever reads {VERSION} and turns 2 into it; "
            "start the version that wrote it, or fill an empty state_dir."
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in FROM_2 if version else NEW:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
