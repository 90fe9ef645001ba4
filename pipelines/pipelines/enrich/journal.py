"""What is finished, kept in a SQLite file so that a run that was killed goes on. Knows no expander and no catalogue.

SQLite and not lines of text: a row is there whole or not at all, whatever is killed when; a second run at the same file is refused while
the first lives; and a catalogue of millions is looked up without being held in memory.
"""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pipelines.enrich.faults import JournalRefused
from pipelines.enrich.fields import Enrichment

APPLICATION_ID = 0x77656E31
"""Says in the file's header whose it is."""
TABLE = """
CREATE TABLE IF NOT EXISTS finished (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    tags TEXT NOT NULL,
    description TEXT NOT NULL
) WITHOUT ROWID
"""


class Journal:
    """One row per finished item; a context manager. Raises `JournalRefused`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._rows = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise JournalRefused(f"{self.path} can not be opened ({error}); name another journal.") from error
        try:
            self._open()
        except sqlite3.OperationalError as error:
            self._rows.close()
            raise JournalRefused(f"{self.path} can not be written ({error}); another run has it, or the disk is full.") from error
        except sqlite3.DatabaseError as error:
            self._rows.close()
            raise JournalRefused(f"{self.path} is damaged or no journal ({error}); name another, or delete it to begin anew.") from error
        except JournalRefused:
            self._rows.close()
            raise
        return self

    def _open(self) -> None:
        self._rows.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._rows.execute("PRAGMA synchronous=FULL")
        self._rows.execute("BEGIN EXCLUSIVE")
        owner = self._rows.execute("PRAGMA application_id").fetchone()[0]
        tables = self._rows.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != APPLICATION_ID and tables:
            raise JournalRefused(f"{self.path} is a database of something else; name another journal.")
        self._rows.execute(TABLE)
        self._rows.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._rows.execute("COMMIT")

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def find(self, item_id: str, digest: str) -> Enrichment | None:
        """What was written of the item while it was as `digest` says."""
        found = self._rows.execute(
            "SELECT tags, description, model, prompt_version FROM finished WHERE id = ? AND digest = ?", (item_id, digest)
        ).fetchone()
        return Enrichment(tuple(json.loads(found[0])), *found[1:]) if found else None

    def keep(self, finished: Iterable[tuple[str, str, Enrichment]]) -> None:
        """Keeps id, digest and enrichment of each for good, all or none; those of the same id before are replaced."""
        rows = [(name, digest, made.model, made.prompt_version, json.dumps(made.tags), made.description) for name, digest, made in finished]
        try:
            self._rows.execute("BEGIN")
            self._rows.executemany(
                "REPLACE INTO finished (id, digest, model, prompt_version, tags, description) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            self._rows.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalRefused(f"{self.path} can not be written ({error}); make room and start again: what it holds is kept.") from error
