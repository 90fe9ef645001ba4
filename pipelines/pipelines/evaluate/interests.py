"""Stands in for what a user would type. Knows items and their genres, nothing of services.

An interest is a rare subject that several of a user's held-out books share: said as the catalogue says it ("World War II"), or in the words
of a reader who does not know the catalogue's ("people trying to survive the Nazis and the bombing of London"). Those sentences stand in
`said.tsv`, one for a subject; they were written from the labels alone, before anything was measured with them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from pipelines import labels

RARE, ASKED_FOR = 0.1, 2
Stated = tuple[str, frozenset[str]]
"""What is typed, and the targets it is about."""


class Interests:
    """What users would type, by the genres of their held-out books."""

    def __init__(self, items: Mapping[str, Mapping[str, Any]]) -> None:
        tags = {item: row["attributes"].get("genres", ()) for item, row in items.items()}
        topics = labels.merged(Counter(tag for carried in tags.values() for tag in carried))
        self._subjects = {item: frozenset(topics[tag].label for tag in carried if tag in topics) for item, carried in tags.items()}
        self._counts = Counter(subject for subjects in self._subjects.values() for subject in subjects)
        self._limit = RARE * len(items)
        self._said = sentences()

    def stated(self, targets: Sequence[str]) -> Stated | None:
        """The rarest subject on `ASKED_FOR` of the targets, and the targets of that subject; None when there is none."""
        shared = Counter(subject for item in targets for subject in self._subjects[item] if self._counts[subject] <= self._limit)
        fitting = sorted((self._counts[subject], subject) for subject, books in shared.items() if books >= ASKED_FOR)
        if not fitting:
            return None
        subject = fitting[0][1]
        return subject, frozenset(item for item in targets if subject in self._subjects[item])

    def said(self, targets: Sequence[str]) -> Stated | None:
        """The same in a reader's words; None also where nobody wrote a sentence for the subject."""
        found = self.stated(targets)
        return (self._said[found[0]], found[1]) if found and found[0] in self._said else None

    def ways(self) -> tuple[Callable[[Sequence[str]], Stated | None], ...]:
        """Both ways to say it."""
        return self.stated, self.said


def sentences() -> dict[str, str]:
    """Subject -> what a reader would type."""
    text = files(__package__).joinpath("said.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())
