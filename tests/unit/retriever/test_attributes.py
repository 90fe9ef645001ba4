import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retriever.attributes import Attributes
from retriever.attributes.postings import Postings
from retriever.attributes.recent import LONGEST, MOST
from retriever.attributes.words import Words, hash_of
from retriever.filters import EVERYTHING, And, AnyOf, Condition, Contains, Exists, Expression, NoneOf, Not, Or, Range, Where, meets
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


MANY = 20_000


def large(rng: np.random.Generator) -> Held:
    """Enough for values that more than 512 items have, and for ranges over several steps; item numbers with gaps."""
    numbers = np.sort(rng.choice(3 * MANY, MANY, replace=False)).tolist()
    genres = rng.integers(0, 12, (MANY, 2)).tolist()
    return {
        number: {
            "genres": tuple(f"genre {genre}" for genre in genres[at]),
            "year": int(rng.integers(1950, 1990)),
            "price": float(rng.random()),
            "isbn": f"978-{number}",
            "read": bool(at % 3),
            **({"note": "crime"} if at % 7 == 0 else {"note": ("crime", "x")} if at % 7 == 1 else {"note": at % 5}),
        }
        for at, number in enumerate(numbers)
    }


@pytest.fixture(scope="module")
def many() -> Held:
    return large(np.random.default_rng(7))


@pytest.fixture(scope="module")
def opened(many: Held, tmp_path_factory: pytest.TempPathFactory) -> Attributes:
    path = tmp_path_factory.mktemp("base") / "attributes"
    Attributes.base(many.items()).save(path)
    return Attributes.open(path)


ENDS = (None, 0.0, 0.013, 0.3, 0.77, 2.0)
LARGE: list[Expression] = [
    *(Where("price", Range(gte=low, lt=high)) for low in ENDS for high in ENDS),
    *(Where("year", Range(gt=low, lte=high)) for low in (None, 1949, 1950, 1963.5, 1989) for high in (None, 1950, 1970, 1989, 2000)),
    *(Where("genres", AnyOf(tuple(f"genre {genre}" for genre in range(count)))) for count in (1, 2, 13)),
    Where("isbn", AnyOf(tuple(f"978-{number}" for number in range(0, 9_000, 90)))),
    Where("isbn", NoneOf(("978-5", "978"))),
    Where("year", AnyOf((1951, 1952.0, 1952.5, "1953"))),
    Where("price", AnyOf(tuple(place / 7 for place in range(60)))),
    Where("note", Contains("crime")),
    Where("note", AnyOf(("crime", 3, True))),
    Where("read", AnyOf((True, False))),
    And((Where("read", AnyOf((False,))), Or((Where("note", AnyOf((1,))), Not(Where("price", Range(gte=0.4))))))),
]


def test_a_large_base_answers_like_the_definition(opened: Attributes, many: Held) -> None:
    for wanted in LARGE:
        assert opened.matching(wanted).rows().tolist() == [number for number, held in many.items() if meets(wanted, "", held)], wanted


def test_changes_on_a_large_base_count_instead_of_it(opened: Attributes, many: Held) -> None:
    rng = random.Random(3)
    now, attributes = dict(many), opened
    moved = dict(zip(rng.sample(list(many), 8_000), rng.sample(list(many.values()), 8_000), strict=True))
    attributes, now = attributes.put(list(moved), list(moved.values())), now | moved
    gone = rng.sample(list(many), 500)
    attributes, now = attributes.remove(gone), {number: held for number, held in now.items() if number not in set(gone)}
    for wanted in LARGE[::3]:
        assert attributes.matching(wanted).rows().tolist() == [number for number, held in now.items() if meets(wanted, "", held)], wanted
    assert attributes.matching(EVERYTHING).rows().tolist() == sorted(now)
    assert opened.matching(EVERYTHING).count == MANY


def test_ids_are_looked_up_once_and_only_living_items_count() -> None:
    asked = list[tuple[str, ...]]()

    def look_up(names: tuple[str, ...]) -> list[int]:
        asked.append(names)
        return [1, 2, 3]

    attributes = Attributes.base([(1, {}), (2, {}), (9, {})]).put([3, 4], [{}, {}]).remove([2])
    wanted = Where("id", AnyOf(("a", "b", 5)))
    assert attributes.matching(wanted, look_up).rows().tolist() == [1, 3]
    assert attributes.matching(Or((Not(wanted), wanted)), look_up).rows().tolist() == [1, 3, 4, 9]
    assert asked == [("a", "b")] * 2
    with pytest.raises(LookupError, match="'a'"):
        attributes.matching(wanted)


def test_two_values_can_be_derived_from_the_same_one() -> None:
    first = Attributes.empty().put([1, 2], [{"a": "x"}, {"a": ("x", "y")}]).remove([1])
    left, right = first.put([2, 3], [{"a": "z"}, {"a": "x"}]), first.put([4], [{"a": "x"}])
    has_x = Where("a", AnyOf(("x",)))
    assert [one.matching(has_x).rows().tolist() for one in (first, left, right)] == [[2], [3], [2, 4]]
    assert right.remove([2]).put([1], [{"a": "x"}]).matching(has_x).rows().tolist() == [1, 4]


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    broken: Any = [{"a": "y"}, {"a": None}]
    before = Attributes.base([(1, {"a": "x"}), (2, {"a": "x"})]).put([3], [{"a": "x"}])
    with pytest.raises(TypeError):
        before.put([1, 2], broken)
    after = before.put([4], [{"b": 1}])
    for one, expected in (
        (before, [1, 2, 3]),
        (after, [1, 2, 3]),
        (after.rebased(Attributes.base([(1, {"a": "x"}), (2, {"a": "x"})]), 0), [1, 2, 3]),
    ):
        assert one.matching(Where("a", AnyOf(("x",)))).rows().tolist() == expected
        assert one.matching(Where("a", AnyOf(("y",)))).rows().tolist() == []
    assert list(after.live) == [1, 2, 3, 4]


def test_readers_see_their_rows_whole_while_a_writer_appends() -> None:
    attributes, stop = Attributes.base([(number, {"n": 0}) for number in range(50)]), threading.Event()
    shared, wrong = [attributes], list[tuple[int, list[int]]]()

    def read() -> None:
        while not stop.is_set():
            now = shared[0]
            counts = [now.matching(Where(name, Exists())).count for name in ("n", "w")]
            if counts[0] != 50 or counts[1] not in (0, 50):
                wrong.append((now.changed_rows, counts))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(300):
        held: dict[str, AttributeValue] = {"n": turn, "w": f"word {turn}", f"name {turn % 40}": ("a", "b")}
        shared[0] = shared[0].put(range(50), [held] * 50)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert shared[0].matching(Where("n", AnyOf((299,)))).count == 50


def test_words_with_the_same_hash_are_told_apart() -> None:
    same = np.full(2, hash_of(b"right"), np.uint64)
    postings = Postings.of(np.array([0, 1], np.uint32), np.array([5, 6], np.uint32), 2, complete=False)
    words = Words(same, np.array([5, 10]), np.frombuffer(b"otherright", np.uint8), postings)
    assert list(words.any_of(["right", "wrong"])) == [6]


def test_what_can_not_be_saved_or_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match="build it again"):
        Attributes.open(tmp_path / "foreign")
    with pytest.raises(ValueError, match="1 changed rows"):
        Attributes.empty().put([1], [{}]).save(tmp_path / "changed")
    with pytest.raises(ValueError, match="1 of 3 item numbers stand twice"):
        Attributes.base([(1, {}), (2, {}), (1, {})])


def test_an_empty_base_is_saved_like_any_other(tmp_path: Path) -> None:
    Attributes.empty().save(tmp_path / "empty")
    opened = Attributes.open(tmp_path / "empty")
    assert (opened.matching(EVERYTHING).count, opened.matching(Where("a", NoneOf(("x",)))).count) == (0, 0)
    assert opened.put([2**32 - 1], [{"a": 1}]).matching(Where("a", Exists())).rows().tolist() == [2**32 - 1]


def test_a_filter_asked_again_gets_the_same_answer_until_something_changes() -> None:
    before = Attributes.base([(number, {"year": number % 5}) for number in range(50)])
    wanted = Where("year", AnyOf((3,)))
    answer = before.matching(wanted)
    assert before.matching(Where("year", AnyOf((3,)))) is answer
    after = before.put([3], [{"year": 4}])
    assert set(after.matching(wanted).numbers) == set(answer.numbers) - {3}
    assert before.matching(wanted) is answer


def test_filters_that_python_holds_to_be_equal_are_told_apart() -> None:
    attributes = Attributes.base([(0, {"read": True}), (1, {"read": 1}), (2, {"read": "1"})])
    for value, numbers in ((1, [1]), (True, [0]), (1.0, [1]), ("1", [2])):
        assert list(attributes.matching(Where("read", AnyOf((value,)))).numbers) == numbers


def test_filters_on_ids_are_looked_up_anew() -> None:
    attributes, number = Attributes.base([(0, {}), (1, {})]), [0]
    wanted = Where("id", AnyOf(("a",)))
    assert list(attributes.matching(wanted, lambda ids: number).numbers) == [0]
    number[0] = 1
    assert list(attributes.matching(wanted, lambda ids: number).numbers) == [1]


def test_only_the_filters_asked_last_are_remembered() -> None:
    attributes = Attributes.base([(number, {"year": number}) for number in range(100)])
    often = attributes.matching(Where("year", AnyOf((0,))))
    for year in range(1, 2 * MOST):
        attributes.matching(Where("year", AnyOf((year,))))
        assert attributes.matching(Where("year", AnyOf((0,)))) is often
    long = Where("year", AnyOf(tuple(range(LONGEST))))
    assert attributes.matching(long) is not attributes.matching(long)
    assert len(attributes._recent) == MOST
