import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from retriever.attributes import Attributes
from retriever.filters import And, AnyOf, Condition, Contains, Exists, Expression, NoneOf, Not, Or, Range, Where, meets
from retriever.items import AttributeValue

Held = dict[int, dict[str, AttributeValue]]
WORDS = ("crime", "poetry", "space", "ünïcode", "", "true", "1")
NUMBERS = (0, 1, -1, 1.0, 1990, 2005.5, 10**400, -(10**400), 2**53 + 1, -0.0)
NAMES = ("genres", "year", "read", "anything", "nothing")


def value(rng: random.Random) -> AttributeValue:
    kinds: tuple[AttributeValue, ...] = (
        rng.choice(WORDS),
        rng.choice(NUMBERS),
        rng.random() < 0.5,
        tuple(rng.choices(WORDS, k=rng.randrange(4))),
        f"word {rng.randrange(10_000)}",
        rng.randrange(50) / 2,
    )
    return rng.choice(kinds)


def some_attributes(rng: random.Random) -> dict[str, AttributeValue]:
    return {name: value(rng) for name in NAMES[:-1] if rng.random() < 0.6}


def condition(rng: random.Random) -> Condition:
    asked = tuple(rng.choice((rng.choice(WORDS), rng.choice(NUMBERS), rng.random() < 0.5, rng.randrange(60) / 2)) for _ in range(3))
    ends: dict[str, Any] = {end: float(rng.randrange(-1, 30)) for end in ("gte", "gt", "lte", "lt") if rng.random() < 0.4}
    return rng.choice(
        (AnyOf(asked[: rng.randrange(1, 4)]), NoneOf(asked[:2]), Range(**ends), Contains(rng.choice(WORDS)), Exists(rng.random() < 0.5))
    )


def some_expression(rng: random.Random, depth: int = 3) -> Expression:
    kind = rng.randrange(7) if depth else 0
    parts = tuple(some_expression(rng, depth - 1) for _ in range(rng.randrange(3))) if kind in (4, 5) else ()
    match kind:
        case 4:
            return And(parts)
        case 5:
            return Or(parts)
        case 6:
            return Not(some_expression(rng, depth - 1))
        case 3:
            ids = tuple(rng.choice((f"item-{rng.randrange(60)}", 7, True)) for _ in range(4))
            return Where("id", rng.choice((AnyOf(ids), NoneOf(ids), Range(gte=0), Exists(), Exists(False), Contains("item-1"))))
    return Where(rng.choice(NAMES), condition(rng))


def numbers_of(ids: tuple[str, ...]) -> list[int]:
    return [int(name.removeprefix("item-")) for name in ids]


def check(attributes: Attributes, held: Mapping[int, dict[str, AttributeValue]], rng: random.Random, count: int) -> None:
    assert sorted(attributes.live) == sorted(held)
    for _ in range(count):
        wanted = some_expression(rng)
        allowed = attributes.matching(wanted, numbers_of)
        assert allowed.rows().tolist() == sorted(number for number in held if meets(wanted, f"item-{number}", held[number])), wanted


@pytest.mark.parametrize("seed", range(12))
def test_every_value_answers_like_the_definition_whatever_was_changed_since(seed: int, tmp_path: Path) -> None:
    rng, held, base = random.Random(seed), Held(), None
    attributes, kept = Attributes.empty(), list[tuple[Attributes, Held]]()
    for step in range(60):
        numbers = rng.choices(range(60), k=rng.randrange(1, 6))
        if rng.random() < 0.6:
            changed = [some_attributes(rng) for _ in numbers]
            attributes = attributes.put(numbers, changed)
            held = held | dict(zip(numbers, changed, strict=True))
        else:
            attributes = attributes.remove(numbers)
            held = {number: one for number, one in held.items() if number not in numbers}
        if rng.random() < 0.1:
            Attributes.base(held.items()).save(tmp_path / f"{step}")
            base, since = Attributes.open(tmp_path / f"{step}"), attributes.changed_rows
            kept.append((base, held))
        elif base and rng.random() < 0.2:
            attributes, base = attributes.rebased(base, since), None
        kept.append((attributes, held))
        check(attributes, held, rng, 6)
    for old, then in rng.sample(kept, 20):
        check(old, then, rng, 4)
