"""`python -m pipelines precompute`: its options and what it prints. Knows nothing of how interests are found or expanded."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.api import Api
from pipelines.precompute import head
from pipelines.precompute.head import HeadUnusable, Wanted
from pipelines.precompute.job import Precompute

SHOWN_FAILURES = 20


class PrecomputeIncomplete(Exception):
    """Some interests could not be expanded; the message says how many."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expander", required=True, help="the expander whose cache is filled, such as http://127.0.0.1:8002")
    parser.add_argument("--gateway", help="the gateway whose catalogue's subjects and authors are expanded")
    parser.add_argument("--interests", type=Path, help="a file of interests, one per line; with --gateway or alone")
    parser.add_argument("--authors", type=_from(0, 100_000), default=500, help="authors at most, those with most items first")
    parser.add_argument("--limit", type=_from(1, 1_000_000), help="interests at most: page, file, subjects, authors, in this order")
    parser.add_argument("--locale", help="language of the interests, such as de-AT")
    parser.add_argument("--batch", type=_from(1, 1_000), default=100, help="interests in a request, 1,000 at most")
    parser.add_argument("--deadline-s", type=_from(1, 600), default=60, help="seconds that one request may take, 600 at most")
    parser.add_argument("--patience-s", type=float, default=600.0, help="seconds until an expander that does nothing is given up")
    parser.add_argument("--dry-run", action="store_true", help="print the interests, one per line, and expand none")


def _from(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not least <= (value := int(text)) <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return parse


def run(chosen: argparse.Namespace) -> None:
    """Expands them all. Raises `HeadUnusable`, `PrecomputeRefused`, `PrecomputeIncomplete`, and `ApiRefused` for the gateway."""
    wanted = _wanted(chosen)
    kinds = Counter(one.kind for one in wanted)
    print(f"{len(wanted):,} interests: " + ", ".join(f"{count:,} of kind {kind}" for kind, count in kinds.items()))
    if chosen.dry_run:
        print("\n".join(one.interest for one in wanted))
        return
    with Precompute(
        chosen.expander, locale=chosen.locale, batch=chosen.batch, deadline_s=chosen.deadline_s, patience_s=chosen.patience_s
    ) as precompute:
        outcome = precompute.run([one.interest for one in wanted])
    print(f"{outcome.made:,} made, {outcome.kept:,} were kept already, {len(outcome.failed):,} failed")
    if not outcome.failed:
        return
    for interest, reason in list(outcome.failed.items())[:SHOWN_FAILURES]:
        print(f"  {interest[:80]}: {reason}")
    if (more := len(outcome.failed) - SHOWN_FAILURES) > 0:
        print(f"  and {more:,} more")
    raise PrecomputeIncomplete(
        f"{len(outcome.failed):,} of {len(wanted):,} interests could not be expanded; start again to try them once more."
    )


def _wanted(chosen: argparse.Namespace) -> Sequence[Wanted]:
    """The page's own first, then the file's, then the catalogue's."""
    if chosen.gateway is None and chosen.interests is None:
        raise HeadUnusable("There is nothing to expand: name a catalogue with --gateway, a file with --interests, or both.")
    wanted = head.in_file(chosen.interests) if chosen.interests else []
    if chosen.gateway:
        with Api(chosen.gateway.rstrip("/")) as api:
            wanted = [*head.starters(), *wanted, *head.of_catalogue(api.items(), chosen.authors)]
    if not (distinct := head.distinct(wanted, chosen.limit)):
        raise HeadUnusable(f"{chosen.interests} holds no interest; write one per line.")
    return distinct
