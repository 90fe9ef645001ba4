"""Makes the co-occurrence artefact: which topics the catalogue has, which go together, which words lead to them. Knows nothing of serving.

    python -m pipelines.topics GATEWAY_URL PATH

The artefact is JSON: `topics` (label and number of items), `common` (topics on so many items that proposing them says nothing),
`related` (for each topic [other, strength]), `phrases` (a spelling -> topic), `words` (a word of titles or authors -> [topic, strength]),
`authors` (name and number of items), `items`, `format` and `content_hash` (SHA-256 of all the rest in canonical JSON). Topics are
numbers: positions in `topics`.
"""

import hashlib
import json
import math
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines import labels
from pipelines.api import Api

FORMAT = 2
SUBJECTS = ("genres", "subjects")
COMMON_SHARE = 0.35
MIN_TOPIC_ITEMS, MIN_WORD_ITEMS = 3, 3
MAX_AUTHORS = 5_000
NOBODY = frozenset({"anonymous", "unknown", "various", "various authors", "unknown author"})
"""What stands where an author should."""
MAX_RELATED, MAX_WORD_TOPICS = 20, 10
SHRINKAGE = 5.0
"""Items without the pair that are imagined beside the real ones, so that one shared item proves little."""
MIN_RELATED, MIN_WORD_STRENGTH = 0.05, 0.12
MIN_WORD_SHARE = 0.25
"""A word leads to a topic when at least this share of its items carry it (after shrinkage); else rare topics come up by chance."""

Pairs = list[list[float]]


def build_topics(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The artefact for `items` (`id`, `title`, `attributes` with `authors`, `genres`, `subjects` where known)."""
    rows = list(items)
    tagged = [_tags(row) for row in rows]
    topics_of_tag = labels.merged(Counter(tag for tags in tagged for tag in tags))
    counts = Counter(label for tags in tagged for label in _labels(tags, topics_of_tag))
    kept = [label for label, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if count >= MIN_TOPIC_ITEMS]
    number = {label: position for position, label in enumerate(kept)}
    carried = [sorted(number[label] for label in _labels(tags, topics_of_tag) if label in number) for tags in tagged]
    sizes = [counts[label] for label in kept]
    content = {
        "format": FORMAT,
        "items": len(rows),
        "topics": [[label, counts[label]] for label in kept],
        "common": [position for position, size in enumerate(sizes) if size > COMMON_SHARE * len(rows)],
        "related": _related(carried, sizes, len(rows)),
        "phrases": _phrases(topics_of_tag, number),
        "words": _words(rows, carried, sizes),
        "authors": _authors(rows),
    }
    return {**content, "content_hash": content_hash(content)}


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()


def write(path: Path, artefact: Mapping[str, Any]) -> None:
    """Puts the artefact at `path` at once: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(artefact, file, separators=(",", ":"), ensure_ascii=True)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # a temporary file is its owner's only, the expander may run as another user
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _values(row: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        value = row.get("attributes", {}).get(name, ())
        found.extend([value] if isinstance(value, str) else [each for each in value if isinstance(each, str)])
    return found


def _tags(row: Mapping[str, Any]) -> set[str]:
    return {tag.strip().lower() for tag in _values(row, SUBJECTS)} - {""}


def _labels(tags: Iterable[str], topics_of_tag: Mapping[str, labels.Topic]) -> set[str]:
    return {topics_of_tag[tag].label for tag in tags if tag in topics_of_tag}


def _related(carried: list[list[int]], sizes: list[int], total: int) -> list[Pairs]:
    """Normalised pointwise mutual information (Bouma 2009, eq. 4), shrunk by the number of shared items."""
    shared: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for topics in carried:
        for topic in topics:
            shared[topic].update(topics)
    return [
        _strongest(
            {
                other: _npmi(both, sizes[topic], sizes[other], total) * both / (both + SHRINKAGE)
                for other, both in shared[topic].items()
                if other != topic
            },
            MIN_RELATED,
            MAX_RELATED,
        )
        for topic in range(len(sizes))
    ]


def _npmi(both: int, one: int, other: int, total: int) -> float:
    if both == total:
        return 0.0  # a pair on every item says nothing, and the formula divides by zero
    return math.log(both * total / (one * other)) / -math.log(both / total)


def _words(rows: list[Mapping[str, Any]], carried: list[list[int]], sizes: list[int]) -> dict[str, Pairs]:
    """For each word of titles and authors, the topics it makes likely: log lift as a share of the most there can be."""
    seen: Counter[str] = Counter()
    together: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for row, topics in zip(rows, carried, strict=True):
        for word in _item_words(row):
            seen[word] += 1
            together[word].update(topics)
    total = len(rows)

    def strength(topic: int, both: int, items: int) -> float:
        prior = sizes[topic] / total
        share = (both + SHRINKAGE * prior) / (items + SHRINKAGE)
        return math.log(share / prior) / -math.log(prior) if share >= MIN_WORD_SHARE else 0.0

    found = {
        word: _strongest(
            {
                topic: strength(topic, both, items)
                for topic, both in together[word].items()
                if both >= 2 and sizes[topic] <= COMMON_SHARE * total
            },
            MIN_WORD_STRENGTH,
            MAX_WORD_TOPICS,
        )
        for word, items in sorted(seen.items())
        if items >= MIN_WORD_ITEMS
    }
    found = {word: pairs for word, pairs in found.items() if pairs}
    return {**{word: found[same] for word, same in labels.SAME_WORDS.items() if same in found}, **found}


def _item_words(row: Mapping[str, Any]) -> set[str]:
    text = " ".join([str(row.get("title", "")), *_values(row, ("authors",))])
    return {word for word in map(labels.fold, labels.words_of(text)) if len(word) > 2 and not word.isdigit()} - labels.GENERIC


def _authors(rows: list[Mapping[str, Any]]) -> list[list[Any]]:
    """[name, items] of the authors with most items, most first."""
    counts = Counter(name for row in rows for name in {name.strip() for name in _values(row, ("authors",))})
    known = [(name, count) for name, count in counts.items() if name and name.lower() not in NOBODY]
    return [[name, count] for name, count in sorted(known, key=lambda pair: (-pair[1], pair[0]))[:MAX_AUTHORS]]


def _phrases(topics_of_tag: Mapping[str, labels.Topic], number: Mapping[str, int]) -> dict[str, int]:
    topics = [topic for topic in set(topics_of_tag.values()) if topic.label in number]
    spelt = {spelling: number[topic.label] for topic in topics for spelling in topic.spellings}
    readers = {phrase: number[label] for phrase, label in labels.READERS_WORDS.items() if label in number}
    return dict(sorted({**readers, **spelt}.items()))


def _strongest(strengths: Mapping[int, float], least: float, most: int) -> Pairs:
    ranked = sorted(((other, strength) for other, strength in strengths.items() if strength >= least), key=lambda pair: (-pair[1], pair[0]))
    return [[other, round(strength, 3)] for other, strength in ranked[:most]]


def main(gateway_url: str, path: str) -> None:
    """Reads the catalogue from the gateway and writes the artefact to `path`."""
    with Api(gateway_url) as api:
        artefact = build_topics(api.items())
    write(Path(path), artefact)
    made = f"{len(artefact['topics'])} topics and {len(artefact['authors'])} authors of {artefact['items']} items"
    print(f"{made}, {len(artefact['words'])} words -> {path}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
