"""Measures each rung's sources on the tuning users and writes the ladder artefact. Knows the artefact's form, nothing of reports."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines import labels
from pipelines.evaluate import tuning
from pipelines.evaluate.served import Served
from pipelines.evaluate.tuning import Case

TOUCHED = (1, 3, 5, 10)
POOL = 200
TURNS = 3
"""Times that each tuning user is asked, each time showing other items of theirs: which items happen to be shown is most of the noise."""
CALLERS = 3
"""Requests under way at once; more would only queue on the two cores this is meant for."""
INTEREST_WEIGHT = 0.5
"""Share of the stated interest in the content query; its topics share the rest."""
RARE, ASKED_FOR = 0.1, 2
START = {"collaborative": 1.0, "similar": 0.2, "popular": 0.2}
START_WITH_INTEREST = {"content": 1.0, "collaborative": 0.5, "popular": 0.2}

Items = Mapping[str, Mapping[str, Any]]
Users = Mapping[str, Sequence[str]]


class Interests:
    """Stands in for what a user would type: a rare subject that several of the user's held-out books share."""

    def __init__(self, items: Items) -> None:
        tags = {item: row["attributes"].get("genres", ()) for item, row in items.items()}
        topics = labels.merged(Counter(tag for carried in tags.values() for tag in carried))
        self._subjects = {item: frozenset(topics[tag].label for tag in carried if tag in topics) for item, carried in tags.items()}
        self._counts = Counter(subject for subjects in self._subjects.values() for subject in subjects)
        self._limit = RARE * len(items)

    def stated(self, targets: Sequence[str]) -> tuple[str, frozenset[str]] | None:
        """The interest, and the targets of that subject; None when no rare subject stands on `ASKED_FOR` of them."""
        shared = Counter(subject for item in targets for subject in self._subjects[item] if self._counts[subject] <= self._limit)
        fitting = sorted((self._counts[subject], subject) for subject, books in shared.items() if books >= ASKED_FOR)
        if not fitting:
            return None
        subject = fitting[0][1]
        return subject, frozenset(item for item in targets if subject in self._subjects[item])


def _liked_cases(served: Served, users: Users, touched: int) -> list[Case]:
    def case(items: Sequence[str]) -> Case:
        return Case.of(served.candidates(POOL, items[:touched], START), frozenset(items[touched:]))

    shown = (_turned(items, turn * touched) for items in users.values() if len(items) > touched for turn in range(TURNS))
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(case, shown))


def _turned(items: Sequence[str], by: int) -> Sequence[str]:
    return [*items[by % len(items) :], *items[: by % len(items)]]


def _interest_cases(served: Served, users: Users, touched: int, interests: Interests) -> list[Case]:
    def case(known: Sequence[str], interest: str, targets: frozenset[str]) -> Case:
        return Case.of(served.candidates(POOL, known, START_WITH_INTEREST, served.queries(interest, INTEREST_WEIGHT)), targets)

    stated = ((items[:touched], found) for items in users.values() if (found := interests.stated(items[touched:])))
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda one: case(one[0], *one[1]), stated))


def build(served: Served, items: Items, users: Users, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The ladder: weights per number of touched items, without and with a stated interest, chosen by recall@20 on `users`."""
    interests = Interests(items)
    steps: list[dict[str, Any]] = [{"touched": 0, "interest": False, "weights": {"popular": 1.0}}]
    for interest, counts, leader, others in (
        (False, TOUCHED, "collaborative", ("similar", "popular")),
        (True, (0, *TOUCHED[:-1]), "content", ("collaborative", "popular")),
    ):
        for touched in counts:
            cases = _interest_cases(served, users, touched, interests) if interest else _liked_cases(served, users, touched)
            weights, recall = tuning.choose(cases, leader, others)
            measured = {"recall_at_20": round(recall, 4), "cases": len(cases)}
            steps.append({"touched": touched, "interest": interest, "weights": weights, "measured": measured})
            print(f"  {touched} liked{' and an interest' if interest else ''}: {weights}, recall@20 {recall:.4f} in {len(cases)} cases")
    return {"version": 1, "provenance": dict(provenance), "interest_weight": INTEREST_WEIGHT, "steps": steps}


def write(ladder: Mapping[str, Any], path: Path) -> str:
    """Writes the artefact; returns the first 16 hexadecimal digits of its SHA-256."""
    text = json.dumps(ladder, indent=1) + "\n"
    path.write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
