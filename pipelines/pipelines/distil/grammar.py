"""Writes phrases from a context-free grammar: interests, topics, blurbs, products. Owns the grammar's form, knows no catalogue."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

RULES = Path(__file__).with_name("grammar.txt")
DEEPEST = 12
"""Rules inside rules at most; a grammar that goes deeper leads back to itself."""

Grammar = Mapping[str, Sequence[str]]


class GrammarBroken(ValueError):
    """A rule is not there, has no alternatives, or leads to itself; the message names it."""


def parse(text: str) -> Grammar:
    """The rules of a grammar file: a name and a colon, then lines of alternatives between bars. Raises `GrammarBroken`."""
    rules: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"(\w+):", line):
            name = heading[1]
            rules[name] = []
        elif name:
            rules[name] += [alternative.strip() for alternative in line.split("|")]
        else:
            raise GrammarBroken(f"The line {line!r} stands before the first rule; write `name:` above it.")
    for name, alternatives in rules.items():
        if missing := {slot for one in alternatives for slot in _slots(one)} - rules.keys():
            raise GrammarBroken(f"The rule {name!r} names {', '.join(sorted(missing))}, which is no rule; add it.")
        if not alternatives or "" in alternatives:
            raise GrammarBroken(f"The rule {name!r} has an empty alternative; fill or remove it.")
    return rules


def _slots(alternative: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", alternative)


def written(grammar: Grammar, start: str, random: Random, depth: int = 0) -> str:
    """One phrase of the rule `start`, every choice by `random`; what was just said is seldom said again."""
    if depth > DEEPEST:
        raise GrammarBroken(f"The rule {start!r} leads back to itself; take the loop out.")
    said: set[str] = set()

    def fill(slot: re.Match[str]) -> str:
        phrase = written(grammar, slot[1], random, depth + 1)
        if phrase in said:
            phrase = written(grammar, slot[1], random, depth + 1)  # once more: "war and war" is rare enough then
        said.add(phrase)
        return phrase

    return re.sub(r"\{(\w+)\}", fill, random.choice(grammar[start]))


def phrases(seed: int, start: str = "text") -> Iterator[str]:
    """Phrases without end, the same ones for the same seed."""
    grammar, random = parse(RULES.read_text(encoding="utf-8")), Random(seed)
    while True:
        yield written(grammar, start, random)
