"""Asks for what is not yet written of each item, several requests in flight, and notes what is finished. Knows no catalogue and no file.

A batch is noted in the journal when it is answered: a kill costs the batches in flight, at most.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tqdm import tqdm

from pipelines.enrich.expander import Author, Expander, Outcome, Unwritten
from pipelines.enrich.fields import Enrichment, Item, described, digest
from pipelines.enrich.journal import Journal

BATCH_BYTES = 400_000
"""Of a request's items; the expander takes 1 MiB by default."""


@dataclass(frozen=True)
class Pace:
    """Items of a request, and requests in flight."""

    batch: int = 8
    in_flight: int = 2


@dataclass
class Written:
    """What became of the items: how many were finished before and are now, and why each other one is not."""

    before: int = 0
    now: int = 0
    failed: list[str] = field(default_factory=list)


async def run(expander: Expander, author: Author, items: Iterable[Item], journal: Journal, pace: Pace, total: int | None) -> Written:
    """Enriches every item that `author` did not finish as it is now. Raises `ExpanderRefused`; started again it goes on."""
    written = Written()
    with tqdm(total=total, desc="enrich", unit=" items", mininterval=0.5, dynamic_ncols=True) as bar:
        batches = _batches(_unfinished(items, author, journal, written, bar), pace.batch)

        async def work() -> None:
            for batch in batches:
                outcomes = await expander.enrich(batch)
                _note(batch, outcomes, journal, written)
                bar.set_postfix(failed=len(written.failed), retried=expander.retries, refresh=False)
                bar.update(len(batch))

        workers = [asyncio.create_task(work()) for _ in range(pace.in_flight)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return written


def finished(item: Item, author: Author, journal: Journal) -> bool:
    """Whether `author` wrote of the item as it is now."""
    told = described(item)
    made = journal.find(told["id"], digest(told))
    return made is not None and (made.model, made.prompt_version) == (author.model, author.prompt_version)


def _unfinished(items: Iterable[Item], author: Author, journal: Journal, written: Written, bar: "tqdm[None]") -> Iterator[Item]:
    for item in items:
        if finished(item, author, journal):
            written.before += 1
            bar.update(1)
        else:
            yield described(item)


def _batches(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """The items in batches of at most `most` and about `BATCH_BYTES`; one that is larger stands alone."""
    batch: list[Item] = []
    size = 0
    for item in items:
        its_own = len(json.dumps(item, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if batch and (len(batch) == most or size + its_own > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += its_own
    if batch:
        yield batch


def _note(batch: list[Item], outcomes: list[Outcome], journal: Journal, written: Written) -> None:
    pairs = list(zip(batch, outcomes, strict=True))
    journal.keep((told["id"], digest(told), made) for told, made in pairs if isinstance(made, Enrichment))
    written.now += sum(isinstance(made, Enrichment) for made in outcomes)
    written.failed += [f"{told['id']}: {made.reason}" for told, made in pairs if isinstance(made, Unwritten)]
