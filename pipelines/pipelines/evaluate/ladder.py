"""Measures each rung's sources on the tuning users and writes the ladder artefact. Knows the artefact's form, nothing of reports."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.evaluate import metrics, tuning
from pipelines.evaluate.interests import Interests, Stated
from pipelines.evaluate.served import Served
from pipelines.evaluate.tuning import Case

TOUCHED = (1, 3, 5, 10)
POOL = 200
TURNS = 3
"""Times that each tuning user is asked, each time showing other items of theirs: which items happen to be shown is most of the noise."""
CALLERS = 3
"""Requests under way at once; more would only queue on the two cores this is meant for."""
INTEREST_WEIGHTS = (1.0, 0.85, 0.75, 0.65, 0.5)
"""Shares of the stated interest in the content query to choose from; its topics share the rest. With 1 they have no part in the search."""
AT_NO_COST = 0.003
"""Recall@20 that topics may cost an interest in the catalogue's own words, which needs none; less than its interval can tell from 0."""
WEIGHED_ON = 500
"""Tuning users that the share is chosen on, for each way to say an interest."""
START = {"collaborative": 1.0, "similar": 0.2, "popular": 0.2}
START_WITH_INTEREST = {"content": 1.0, "collaborative": 0.5, "popular": 0.2}
USUAL = {"content": 1.0, "collaborative": 0.2, "popular": 0.2}
"""About what a stated interest alone gets in the end."""

Items = Mapping[str, Mapping[str, Any]]
Users = Mapping[str, Sequence[str]]


def _liked_cases(served: Served, users: Users, touched: int) -> list[Case]:
    def case(items: Sequence[str]) -> Case:
        return Case.of(served.candidates(POOL, items[:touched], START), frozenset(items[touched:]))

    shown = (_turned(items, turn * touched) for items in users.values() if len(items) > touched for turn in range(TURNS))
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(case, shown))


def _turned(items: Sequence[str], by: int) -> Sequence[str]:
    return [*items[by % len(items) :], *items[: by % len(items)]]


def _interest_cases(served: Served, users: Users, touched: int, interests: Interests, interest_weight: float) -> list[Case]:
    def case(known: Sequence[str], interest: str, targets: frozenset[str]) -> Case:
        return Case.of(served.candidates(POOL, known, START_WITH_INTEREST, served.queries(interest, interest_weight)), targets)

    stated = ((items[:touched], found) for items in users.values() if (found := interests.stated(items[touched:])))
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda one: case(one[0], *one[1]), stated))


def weigh_interest(served: Served, users: Users, interests: Interests) -> tuple[float, dict[float, list[float]]]:
    """The share that an interest keeps beside its topics, and the recall@20 of each share for each way to say an interest."""
    asked = [[found for items in users.values() if (found := way(items))][:WEIGHED_ON] for way in interests.ways()]

    def recall(stated: Stated, weight: float) -> float:
        return metrics.recall(served.candidates(tuning.K, (), USUAL, served.queries(stated[0], weight)).ids, stated[1], tuning.K)

    measured = {}
    with ThreadPoolExecutor(CALLERS) as callers:
        for weight in INTEREST_WEIGHTS:
            recalls = [list(callers.map(recall, stated, [weight] * len(stated))) for stated in asked]
            measured[weight] = [round(sum(of) / max(1, len(of)), 4) for of in recalls]
            by_way = f"{measured[weight][0]} in the catalogue's words, {measured[weight][1]} in a reader's"
            print(f"  interest weight {weight}: recall@20 {by_way}")
    return least_harmful(measured), measured


def least_harmful(measured: Mapping[float, Sequence[float]]) -> float:
    """The share with the best recall in a reader's words, where topics help, among those that cost nothing in the catalogue's.

    `measured` has both recalls of each share, 1.0 among them; of equal ones the largest, which trusts topics least.
    """
    without = measured[1.0][0]
    harmless = [weight for weight, (catalogue, _) in measured.items() if catalogue >= without - AT_NO_COST]
    return max(harmless, key=lambda weight: (measured[weight][1], weight))


def build(served: Served, items: Items, users: Users, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The ladder: weights per number of touched items, without and with a stated interest, chosen by recall@20 on `users`."""
    interests = Interests(items)
    interest_weight, weighed = weigh_interest(served, users, interests)
    steps: list[dict[str, Any]] = [{"touched": 0, "interest": False, "weights": {"popular": 1.0}}]
    for interest, counts, leader, others in (
        (False, TOUCHED, "collaborative", ("similar", "popular")),
        (True, (0, *TOUCHED[:-1]), "content", ("collaborative", "popular")),
    ):
        for touched in counts:
            cases = (
                _interest_cases(served, users, touched, interests, interest_weight) if interest else _liked_cases(served, users, touched)
            )
            weights, recall = tuning.choose(cases, leader, others)
            measured = {"recall_at_20": round(recall, 4), "cases": len(cases)}
            steps.append({"touched": touched, "interest": interest, "weights": weights, "measured": measured})
            print(f"  {touched} liked{' and an interest' if interest else ''}: {weights}, recall@20 {recall:.4f} in {len(cases)} cases")
    told = {**provenance, "interest_weights": {str(weight): recalls for weight, recalls in weighed.items()}}
    return {"version": 1, "provenance": told, "interest_weight": interest_weight, "steps": steps}


def write(ladder: Mapping[str, Any], path: Path) -> str:
    """Writes the artefact; returns the first 16 hexadecimal digits of its SHA-256."""
    text = json.dumps(ladder, indent=1) + "\n"
    path.write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
