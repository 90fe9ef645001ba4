"""`python -m pipelines enrich`: its options and the order of its steps. Knows nothing of how each is done."""

import argparse
import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2

from pipelines.api import Api
from pipelines.enrich import job
from pipelines.enrich.catalogue import Catalogue, File, Served, Stored
from pipelines.enrich.expander import Expander
from pipelines.enrich.faults import EnrichIncomplete, GatewayUnreachable, OptionsUnusable
from pipelines.enrich.fields import EMBEDDED, Item, bare, described, digest, enriched, switched
from pipelines.enrich.job import Pace, Written
from pipelines.enrich.journal import Journal

SHOWN_FAILURES = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    pace = Pace()
    parser.add_argument("--gateway", help="the gateway whose catalogue is enriched, such as http://127.0.0.1:8000")
    parser.add_argument("--input", type=Path, help="instead of a gateway: items as NDJSON (also .gz), as they are imported")
    parser.add_argument("--out", type=Path, help="with --input: the NDJSON file to write, ready to be imported")
    parser.add_argument("--expander", help="the expander whose LLM writes, such as http://127.0.0.1:8002; left out, no LLM is asked")
    parser.add_argument("--journal", type=Path, default=Path(".warmstart/enrich.sqlite3"), help="what is finished; a killed run goes on")
    parser.add_argument("--embed", choices=("on", "off"), help="whether what was written is part of what is embedded; off for new ones")
    parser.add_argument("--remove", action="store_true", help="take everything away that was written; the items' own fields stay")
    parser.add_argument("--batch", type=_from_1_to(100), default=pace.batch, help="items in a request, 100 at most")
    parser.add_argument("--in-flight", type=_from_1_to(64), default=pace.in_flight, help="requests at once")
    parser.add_argument("--deadline-s", type=_from_1_to(600), default=300, help="seconds that one request may take, 600 at most")
    parser.add_argument("--patience-s", type=float, default=900.0, help="seconds until an LLM that does nothing is given up")


def _from_1_to(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not 1 <= (value := int(text)) <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between 1 and {most}")
        return value

    return parse


def run(chosen: argparse.Namespace) -> None:
    """Enriches, switches or removes, as the options say. Raises `EnrichFailed`, and `ApiRefused` for the gateway."""
    _check(chosen)
    with _catalogue(chosen) as catalogue:
        if chosen.expander is None:
            _end(catalogue.change(bare if chosen.remove else partial(switched, embedded=chosen.embed == "on")), [])
            return
        with Journal(chosen.journal) as journal:
            written = asyncio.run(_written(catalogue, journal, chosen))
            print(f"{written.now:,} items enriched, {written.before:,} were so before, {len(written.failed):,} failed")
            finished = _Finished(journal, None if chosen.embed is None else chosen.embed == "on")
            stored = catalogue.change(finished)
            if (behind := finished.missing - len(written.failed)) > 0:
                print(f"{behind:,} items are new or changed since they were read; start again for these")
            _end(stored, written.failed)


def _check(chosen: argparse.Namespace) -> None:
    """Raises `OptionsUnusable`."""
    if (chosen.gateway is None) == (chosen.input is None):
        raise OptionsUnusable("Name the items: either --gateway or --input.")
    if (chosen.input is None) != (chosen.out is None):
        raise OptionsUnusable("--input and --out go together.")
    if chosen.remove == (chosen.expander is not None or chosen.embed is not None):
        raise OptionsUnusable("Say what to do: --expander (with --embed or without), --embed alone for what is there, or --remove.")


@contextmanager
def _catalogue(chosen: argparse.Namespace) -> Iterator[Catalogue]:
    if chosen.gateway is None:
        yield File(chosen.input, chosen.out)
        return
    try:
        with Api(chosen.gateway.rstrip("/")) as api:
            yield Served(api)
    except httpx2.TransportError as error:
        told = f"{chosen.gateway} did not answer ({type(error).__name__} {error})"
        raise GatewayUnreachable(f"{told}; start again once it does: what is finished is kept.") from error


async def _written(catalogue: Catalogue, journal: Journal, chosen: argparse.Namespace) -> Written:
    async with Expander(chosen.expander.rstrip("/"), deadline_s=chosen.deadline_s, patience_s=chosen.patience_s) as expander:
        author = await expander.author()
        print(f"{author.model} writes, asked by {author.prompt_version}")
        pace = Pace(chosen.batch, chosen.in_flight)
        return await job.run(expander, author, catalogue.items(), journal, pace, catalogue.count())


@dataclass
class _Finished:
    """Adds to an item what the journal has of it as it is now. `embedded` None leaves the switch as it is; `missing` counts the others."""

    journal: Journal
    embedded: bool | None
    missing: int = 0

    def __call__(self, item: Item) -> Item:
        told = described(item)
        if (made := self.journal.find(told["id"], digest(told))) is None:
            self.missing += 1
            return item
        on = item.get("attributes", {}).get(EMBEDDED) is True if self.embedded is None else self.embedded
        return enriched(item, made, embedded=on)


def _end(stored: Stored, failed: list[str]) -> None:
    """Says what was stored; raises `EnrichIncomplete` when an item has no enrichment or was not stored."""
    print(f"{stored.changed:,} items changed, {stored.same:,} were so already, {len(stored.refused):,} refused")
    if not (missing := [*failed, *stored.refused]):
        return
    for line in missing[:SHOWN_FAILURES]:
        print(f"  {line}")
    if (more := len(missing) - SHOWN_FAILURES) > 0:
        print(f"  and {more:,} more")
    raise EnrichIncomplete(
        f"{len(failed):,} items could not be enriched and {len(stored.refused):,} not stored; all others are. "
        "Start again to try these once more."
    )
