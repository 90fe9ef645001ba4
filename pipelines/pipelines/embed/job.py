"""Embeds a catalogue part by part with several requests in flight. Knows the order of the steps, not how each is done."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.embed import output
from pipelines.embed.catalogue import Catalogue, Passage, Survey
from pipelines.embed.encoder import Encoder, Space
from pipelines.embed.faults import EncoderRefused, ResumeRefused
from pipelines.embed.parts import Origin, Parts

AHEAD = 2
"""Batches that are begun for each that may be in flight, so that a slow one does not leave the encoder idle."""
Embedded = tuple[list[Passage], NDArray[np.float32]]


@dataclass(frozen=True)
class Pace:
    """Passages of a request, requests in flight, and rows of a part: what a kill costs at most."""

    batch: int = 32
    in_flight: int = 8
    part_rows: int = 8_192


async def run(encoder: Encoder, catalogue: Catalogue, survey: Survey, out: Path, pace: Pace, *, skip_unusable: bool) -> Origin:
    """Embeds what is not yet embedded and writes `out`; what it holds. Raises `EmbedFailed`; started again it goes on."""
    space = await encoder.space()
    origin = Origin(
        input_sha256=survey.sha256,
        id_field=catalogue.id_field,
        text_fields=catalogue.text_fields,
        skip_unusable=skip_unusable,
        rows=survey.usable,
        fingerprint=space.fingerprint,
        dimension=space.dimension,
    )
    with Parts(out.with_name(out.name + ".parts"), origin) as parts:
        if not _whole(out, origin):
            await _fill(parts, encoder, space, catalogue, pace)
            output.join(parts, out)
        parts.remove()
    return origin


def _whole(out: Path, origin: Origin) -> bool:
    """Whether `out` holds what it should; raises `ResumeRefused` when it holds something else."""
    if not out.exists():
        return False
    if changed := output.origin_of(out).differences(origin):
        raise ResumeRefused(f"{out} holds embeddings of something else ({changed}); name another output or remove it.")
    return True


async def _fill(parts: Parts, encoder: Encoder, space: Space, catalogue: Catalogue, pace: Pace) -> None:
    remaining = islice(catalogue.passages(), parts.rows, None)
    with tqdm(
        total=parts.origin.rows, initial=parts.rows, desc="embed", unit=" rows", unit_scale=True, mininterval=0.5, dynamic_ncols=True
    ) as bar:

        async def work(batch: list[Passage]) -> NDArray[np.float32]:
            try:
                rows = await encoder.embed([passage.text for passage in batch], space)
            except EncoderRefused as refused:
                raise EncoderRefused(f"From {batch[0].id!r} to {batch[-1].id!r}: {refused}") from refused
            bar.set_postfix(retried=encoder.retries, refresh=False)
            bar.update(len(batch))
            return rows

        gathered: list[Embedded] = []
        async for done in _in_order(work, _batches(remaining, pace.batch), pace.in_flight):
            gathered.append(done)
            if sum(len(batch) for batch, _ in gathered) >= pace.part_rows:
                _keep(parts, gathered)
        _keep(parts, gathered)


def _keep(parts: Parts, gathered: list[Embedded]) -> None:
    """Makes a part of what was gathered, and gathers anew."""
    if gathered:
        ids = [passage.id for batch, _ in gathered for passage in batch]
        parts.add(ids, np.concatenate([rows for _, rows in gathered]))
        gathered.clear()


def _batches(passages: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    source = iter(passages)
    while batch := list(islice(source, size)):
        yield batch


async def _in_order(
    work: Callable[[list[Passage]], Awaitable[NDArray[np.float32]]], batches: Iterable[list[Passage]], in_flight: int
) -> AsyncIterator[Embedded]:
    """What `work` makes of each batch, in order, at most `in_flight` at once; the first failure ends all."""
    permits = asyncio.Semaphore(in_flight)

    async def permitted(batch: list[Passage]) -> Embedded:
        async with permits:
            return batch, await work(batch)

    begun: deque[asyncio.Task[Embedded]] = deque()
    try:
        for batch in batches:
            if len(begun) == AHEAD * in_flight:
                yield await begun.popleft()
            begun.append(asyncio.create_task(permitted(batch)))
        while begun:
            yield await begun.popleft()
    finally:
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
