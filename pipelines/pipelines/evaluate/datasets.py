"""Held-out users and items to measure on. Knows the files, nothing of rankings.

The goodbooks cold-start set is used where its folder is given; elsewhere the shipped sample is split the same way.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines import sample

MIN_BOOKS, SPLIT_USERS, COLD_SHARE = 6, 3_000, 0.1


@dataclass(frozen=True)
class HeldOut:
    """What is shown to the system and what is kept back.

    `users`: per cold user its items in a fixed random order; the first m are seeds, all others targets.
    `cold_items`: items no training pair names; `profiles` and `cold_targets`: per warm user its training items and its cold items.
    """

    name: str
    training: tuple[tuple[str, str], ...]
    users: Mapping[str, tuple[str, ...]]
    cold_items: frozenset[str]
    profiles: Mapping[str, tuple[str, ...]]
    cold_targets: Mapping[str, frozenset[str]]

    def events(self) -> Iterator[dict[str, str]]:
        """The training pairs, as the public API takes events; no times are known."""
        return ({"user_id": user, "item_id": item, "type": "like", "time": sample.PUBLISHED} for user, item in self.training)


def fraction(key: str) -> float:
    """A number in [0, 1) that depends only on `key`: the splits are the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for user, item in pairs:
        groups[user].append(item)
    return groups


def goodbooks(folder: Path) -> HeldOut:
    """The goodbooks cold-start set: 3,184 cold users, 621 strictly cold items with 10,648 users."""
    import pyarrow.parquet as parquet  # only here: the default install has no Parquet reader

    ranked = sorted(parquet.read_table(folder / "cold_users_dev.parquet").to_pylist(), key=lambda row: (row["user"], row["rank"]))
    train = parquet.read_table(folder / "train.parquet").to_pylist()
    cold = _grouped((str(row["user"]), str(row["item"])) for row in parquet.read_table(folder / "cold_item_dev.parquet").to_pylist())
    books = parquet.read_table(folder / "items.parquet", columns=["item", "cold_item"]).to_pylist()
    training = tuple((str(row["user"]), str(row["item"])) for row in train)
    profiles = _grouped(training)
    measured = {user: items for user, items in cold.items() if user in profiles}  # a user without a profile can not be ranked for
    return HeldOut(
        name="goodbooks-coldstart",
        training=training,
        users={user: tuple(items) for user, items in _grouped((str(row["user"]), str(row["item"])) for row in ranked).items()},
        cold_items=frozenset(str(row["item"]) for row in books if row["cold_item"]),
        profiles={user: tuple(profiles[user]) for user in measured},
        cold_targets={user: frozenset(items) for user, items in measured.items()},
    )


def split_of_sample(users: int = SPLIT_USERS) -> HeldOut:
    """The shipped sample split by hashes: `users` users with at least six books, and a tenth of the items, are withheld."""
    shelves = _grouped((event["user_id"], event["item_id"]) for event in sample.events())
    eligible = sorted((user for user, books in shelves.items() if len(books) >= MIN_BOOKS), key=lambda user: fraction(f"user {user}"))
    chosen = set(eligible[:users])
    cold = frozenset(item for item in {book for books in shelves.values() for book in books} if fraction(f"item {item}") < COLD_SHARE)
    warm = {user: tuple(book for book in books if book not in cold) for user, books in shelves.items() if user not in chosen}
    touched = {user: frozenset(books) & cold for user, books in shelves.items() if user not in chosen}
    measured = {user: items for user, items in touched.items() if items and warm[user]}
    return HeldOut(
        name="split of the shipped sample",
        training=tuple((user, item) for user, items in warm.items() for item in items),
        users={user: tuple(sorted(shelves[user], key=lambda item: fraction(f"{user} {item}"))) for user in sorted(chosen)},
        cold_items=cold,
        profiles={user: warm[user] for user in measured},
        cold_targets=measured,
    )


def load(folder: Path) -> HeldOut:
    """The goodbooks set when `folder` holds it, else a split of the shipped sample."""
    return goodbooks(folder) if (folder / "cold_users_dev.parquet").exists() else split_of_sample()
