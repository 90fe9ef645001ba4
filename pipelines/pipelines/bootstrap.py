"""Fills an empty catalogue once, from the sample or from a folder. Knows where rows come from, not what the services make of them.

A mark beside the topics artefact says `begun` while rows are on their way, so that a job that was cut off goes on when it is tried again,
and a catalogue that somebody else filled is left alone.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import importer, jobs, readiness, sample
from pipelines.api import Api

ITEM_CHUNK, EVENT_CHUNK = 256, 20_000
SAMPLE = "sample"
MARK = "bootstrap.json"


class SourceMissing(Exception):
    """The folder holds no items; the message names the files that were looked for."""


@dataclass(frozen=True)
class Source:
    """Rows to import and, where known, how many."""

    items: Iterable[Mapping[str, Any]]
    events: Iterable[Mapping[str, Any]]
    item_count: int | None = None
    event_count: int | None = None


def sampled() -> Source:
    """The sample catalogue."""
    return Source(sample.items(), sample.events(), sample.ITEM_COUNT, sample.EVENT_COUNT)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _found(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.ndjson", folder / f"{name}.ndjson.gz") if path.is_file()), None)


def in_folder(folder: Path) -> Source:
    """`items.ndjson` and, where there is one, `events.ndjson`, each plain or gzipped; raises `SourceMissing` without items."""
    items, events = _found(folder, "items"), _found(folder, "events")
    if items is None:
        raise SourceMissing(f"{folder} holds neither items.ndjson nor items.ndjson.gz")
    return Source(_rows(items), _rows(events) if events else ())


def fill(api: Api, source: Source, topics_path: Path) -> tuple[int, int]:
    """Imports the source and recomputes what is derived from it; items and events stored.

    Raises `ImportIncomplete` when a row was refused; what was stored stays, and importing it again changes nothing.
    """
    items = importer.run(api, "/v1/items", source.items, total=source.item_count, label="items ", chunk=ITEM_CHUNK).complete()
    events = importer.run(api, "/v1/events", source.events, total=source.event_count, label="events", chunk=EVENT_CHUNK).complete()
    jobs.refresh(api, topics_path)
    return items, events


def run(api: Api, chosen: str, topics_path: Path, *, wait_s: float, force: bool) -> None:
    """Fills the catalogue behind `api` from `chosen` (`sample` or a folder), unless it holds items that this job did not begin."""
    readiness.wait(api, wait_s)
    mark = topics_path.parent / MARK
    held = api.status()["items"]
    if held and not force and not _begun(mark):
        print(f"The catalogue holds {held:,} items already: nothing to do.")
        return
    source = sampled() if chosen == SAMPLE else in_folder(Path(chosen))
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps({"state": "begun", "source": chosen}))
    items, events = fill(api, source, topics_path)
    mark.write_text(json.dumps({"state": "done", "source": chosen}))
    print(f"Stored {items:,} items and {events:,} events.")


def _begun(mark: Path) -> bool:
    try:
        return bool(json.loads(mark.read_text())["state"] == "begun")
    except FileNotFoundError:
        return False
    except ValueError:  # the job was killed while it wrote the mark
        return True
