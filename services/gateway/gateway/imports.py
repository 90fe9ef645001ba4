"""Bulk imports: the rows of an NDJSON body, stored or refused one by one. Knows nothing of how a row is read or of the wire."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from gateway.catalogue import Item
from gateway.errors import GatewayError, ProfilesUnavailable, RequestRefused
from gateway.profiles import Event

BATCH_ROWS, CALLS_AT_ONCE = 128, 2
"""Items embedded by one call, of which two run at once."""
ROWS_READ_AT_ONCE = 5_000
"""Rows read (and events stored) by one piece of work in a thread, so that requests are answered in between."""
MAX_LINE_BYTES = 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
INK, STEP_BYTES = re.compile(rb"\S"), 2**16
"""What is not blank, and how far it is looked for in one step, because a step holds up every other thread."""
Value = TypeVar("Value")


class Outcome(NamedTuple):
    """What became of a row; `reason` is given when it was refused."""

    row: int
    id: str | None = None
    reason: str | None = None


class RowRefused(Exception):
    """A row can not be read; the message says what is wrong, the value and the remedy."""


class Stores(Protocol):
    """Where items go."""

    async def store(self, items: Sequence[Item]) -> int: ...


class EventStore(Protocol):
    """Where events go."""

    async def add(self, events: Sequence[Event]) -> int: ...


def lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The rows of an NDJSON body with their numbers, from 1; blank lines are counted and left out, and so is a byte order mark."""
    start, breaks = len(BYTE_ORDER_MARK) if body.startswith(BYTE_ORDER_MARK) else 0, 0
    while start < len(body):
        found = INK.search(body, start, start + STEP_BYTES)
        stop = found.start() if found else start + STEP_BYTES
        breaks += body.count(b"\n", start, stop)
        start = stop
        if found:
            end = body.find(b"\n", start)
            start = len(body) if end < 0 else end
            yield breaks + 1, body[stop:start].rstrip()


def _read(rows: Iterator[tuple[int, bytes]], most: int, parse: Callable[[bytes], Value]) -> tuple[list[tuple[int, Value]], list[Outcome]]:
    """The next rows, at most `most`, read or refused; splits the body too, and so belongs in a thread. Both empty at the end."""
    good, refused = list[tuple[int, Value]](), list[Outcome]()
    for row, line in islice(rows, most):
        try:
            if len(line) > MAX_LINE_BYTES:
                raise RowRefused(f"the row has {len(line)} bytes, more than {MAX_LINE_BYTES}; shorten it")
            good.append((row, parse(line)))
        except RowRefused as error:
            refused.append(Outcome(row, None, str(error)))
    return good, refused


async def events(body: bytes, parse: Callable[[bytes], Event], store: EventStore) -> AsyncIterator[tuple[list[Outcome], int]]:
    """Stores the events of `body`, portion by portion; the outcomes of each, in row order, and how many events were new."""
    rows = lines(body)
    while any(portion := await asyncio.to_thread(_read, rows, ROWS_READ_AT_ONCE, parse)):
        good, refused = portion
        new = 0
        try:
            new = await store.add([event for _, event in good]) if good else 0
            stored = [Outcome(row) for row, _ in good]
        except ProfilesUnavailable as error:
            stored = [Outcome(row, None, str(error)) for row, _ in good]
        yield sorted(stored + refused), new


async def items(body: bytes, parse: Callable[[bytes], Item], catalogue: Stores) -> AsyncIterator[list[Outcome]]:
    """Embeds and stores the items of `body`, two batches at once; the outcomes of each pair, in row order.

    Where an id comes twice the last row that can be read counts, and the rows before it are refused with its number.
    """
    last = await _last_rows(body, parse)
    rows = lines(body)
    while any(portion := await asyncio.to_thread(_read, rows, BATCH_ROWS * CALLS_AT_ONCE, parse)):
        good, outcomes = portion
        for row, item in good:
            if last[item.id] != row:
                reason = f"id: {item.id} comes again in row {last[item.id]}, which counts; send each id once in a body"
                outcomes.append(Outcome(row, item.id, reason))
        chosen = [(row, item) for row, item in good if last[item.id] == row]
        batches = [chosen[at : at + BATCH_ROWS] for at in range(0, len(chosen), BATCH_ROWS)]
        for stored in await asyncio.gather(*(_store(batch, catalogue) for batch in batches)):
            outcomes += stored
        yield sorted(outcomes)


async def _last_rows(body: bytes, parse: Callable[[bytes], Item]) -> dict[str, int]:
    """The number of the last readable row of each id. Reading twice is cheaper than holding every item of a large body."""
    last: dict[str, int] = {}
    rows = lines(body)
    while any(portion := await asyncio.to_thread(_read, rows, ROWS_READ_AT_ONCE, parse)):
        last |= {item.id: row for row, item in portion[0]}
    return last


async def _store(batch: Sequence[tuple[int, Item]], catalogue: Stores) -> list[Outcome]:
    """Stores a batch. One that is refused for what it holds is halved until the rows at fault stand alone."""
    try:
        await catalogue.store([item for _, item in batch])
    except RequestRefused as error:
        if len(batch) > 1:
            middle = len(batch) // 2
            return await _store(batch[:middle], catalogue) + await _store(batch[middle:], catalogue)
        return [Outcome(row, item.id, str(error)) for row, item in batch]
    except GatewayError as error:
        return [Outcome(row, item.id, str(error)) for row, item in batch]
    return [Outcome(row, item.id) for row, item in batch]
