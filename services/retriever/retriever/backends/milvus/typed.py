"""Search-as-you-type over the items in Milvus. Knows nothing of HTTP.

Each item has its words in one line, ` dune messiah | frank herbert `: a word begins after a blank, so what was typed of one is looked for
with `like "% du%"`, for which a server keeps an n-gram index. Milvus does not rank: what it gives is ranked here, and of more than MOST
matches it gives any. So the title as it was typed, and among the most popular items those that match, are asked for apart.
"""

from collections.abc import Callable, Sequence
from typing import Final

from retriever.backends.milvus.expressions import all_of, id_in, words_like
from retriever.backends.milvus.server import Row, Server
from retriever.items import Item
from retriever.words import MOST_WORDS, authors_of, folded

MOST: Final = 1_000
"""Matches that are ranked, of each of the three kinds."""
BETWEEN: Final = "|"
"""What is between title and authors, and never in a word."""


def line_of(item: Item) -> str:
    """The words of title and authors, as items keep them."""
    return f" {' '.join([*folded(item.title), BETWEEN, *folded(authors_of(item.attributes))])} "


def find(server: Server, collection: str, typed: str, leading: Sequence[str], popularity: Callable[[str], float]) -> list[str]:
    """The ids of items that have every typed word, the last letters of each may be missing, in title or authors.

    First the title that is what was typed, then titles that have every word, then the rest; in each the one of more `popularity`, then
    the smaller id. `leading` are ids to look for even when there are more than MOST matches.
    """
    words = folded(typed)[:MOST_WORDS]
    if not words:
        return []
    matching = all_of(words_like(f"% {word}%") for word in words)
    found = server.some(collection, matching, ["words", "title"], MOST)
    if len(found) == MOST:
        found += server.some(collection, words_like(f" {' '.join(words)} {BETWEEN}%"), ["words", "title"], MOST)
        found += server.some(collection, all_of([matching, id_in(leading)]), ["words", "title"], MOST)
    rows: dict[str, Row] = {row["id"]: row for row in found}

    def order(name: str) -> tuple[bool, bool, float, str]:
        title = rows[name]["words"].partition(BETWEEN)[0]
        in_title = all(f" {word}" in title for word in words)
        return rows[name]["title"].casefold() != typed.casefold(), not in_title, -popularity(name), name

    return sorted(rows, key=order)
