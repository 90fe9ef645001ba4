"""`python -m pipelines embed`: its options, and the encoder it starts where none is named. Knows nothing of how rows are embedded."""

import argparse
import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.embed import job, output
from pipelines.embed.catalogue import MOST_CHARACTERS, Catalogue, Survey
from pipelines.embed.encoder import Encoder
from pipelines.embed.job import Pace
from pipelines.suite import Suite

MOST_TEXTS = 256


def add_options(parser: argparse.ArgumentParser) -> None:
    pace = Pace()
    parser.add_argument("input", type=Path, help="NDJSON (.ndjson, .jsonl, also .gz) or Parquet (.parquet)")
    parser.add_argument("--out", type=Path, required=True, help="the .npz or .parquet file to write; a run that was cut off goes on")
    parser.add_argument("--id", default="id", help="field with the id; `id` by default")
    parser.add_argument("--text", action="append", help="field with the text, `text` by default; give it again to join several")
    parser.add_argument("--encoder", help="the encoder's address, such as http://127.0.0.1:8001; one is started here when left out")
    parser.add_argument("--state", type=Path, default=Path(".warmstart"), help="folder for state and log of an encoder started here")
    parser.add_argument("--batch", type=_from_1_to(MOST_TEXTS), default=pace.batch, help="passages in a request, 256 at most")
    parser.add_argument("--in-flight", type=_from_1_to(1_024), default=pace.in_flight, help="requests at once")
    parser.add_argument("--part-rows", type=_from_1_to(2**31), default=pace.part_rows, help="rows that a kill may cost at most")
    parser.add_argument("--patience-s", type=float, default=300.0, help="seconds until a refused or failed request is given up")
    parser.add_argument("--skip-unusable", action="store_true", help="leave out rows without id or text instead of refusing the file")


def _from_1_to(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not 1 <= (value := int(text)) <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between 1 and {most}")
        return value

    return parse


def run(chosen: argparse.Namespace) -> None:
    """Embeds the file that the options name; raises `EmbedFailed`, and `SuiteFailed` when the encoder does not start."""
    output.check(chosen.out)
    catalogue = Catalogue(chosen.input, chosen.id, tuple(chosen.text or ("text",)))
    survey = catalogue.survey()
    survey.check(skip_unusable=chosen.skip_unusable)
    print(_told(survey))
    with _served(chosen.encoder, chosen.state) as url:
        asyncio.run(_embedded(url, catalogue, survey, chosen))


async def _embedded(url: str, catalogue: Catalogue, survey: Survey, chosen: argparse.Namespace) -> None:
    pace = Pace(chosen.batch, chosen.in_flight, chosen.part_rows)
    async with Encoder(url, chosen.patience_s) as encoder:
        made = await job.run(encoder, catalogue, survey, chosen.out, pace, skip_unusable=chosen.skip_unusable)
    print(f"{chosen.out}: {made.rows:,} embeddings of {made.dimension} numbers, {made.fingerprint}")


@contextmanager
def _served(url: str | None, state: Path) -> Iterator[str]:
    """The address of an encoder: the named one, or one that runs while the job does."""
    if url is not None:
        yield url.rstrip("/")
        return
    suite = Suite(state)
    try:
        suite.start("encoder")
        suite.wait_ready("encoder")
        yield suite.url("encoder")
    finally:
        suite.stop()


def _told(survey: Survey) -> str:
    cut = f", {survey.cut:,} of them cut at {MOST_CHARACTERS:,} characters" if survey.cut else ""
    skipped = f"; {len(survey.faults):,} left out, the first in row {survey.faults[0].row}" if survey.faults else ""
    return f"{survey.usable:,} rows to embed{cut}{skipped}"
