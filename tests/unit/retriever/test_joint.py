from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import DeadlineMissed
from retriever.filters import Range, Where
from retriever.inquiry import Diversity, Fusion, Grouping, Inquiry, Outcome, Search
from retriever.items import Floats, Item
from retriever.joint import MOST_NUMBERS, alike, search_together
from retriever.library import Library
from retriever.loans import LENDERS
from retriever.rankfusion import min_max
from retriever.search import search
from servicekit.deadline import Deadline

ITEMS, DIMENSION = 1_500, 6
NEVER, LONG_AGO = Deadline(float("inf")), Deadline(0.0)


def vectors(seed: int, count: int) -> Floats:
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    made: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Items in memory, of which some were overwritten and some deleted; many have the same vector."""
    with closing(Library(tmp_path_factory.mktemp("joint") / "catalogue.sqlite", LENDERS, fsync=False)) as made:
        kept = vectors(0, ITEMS)
        kept[::7] = kept[0]
        made.put("f", [Item(f"i{at}", "t", {}) for at in range(ITEMS)], kept)
        made.put("f", [Item(f"i{at}", "t", {}) for at in range(0, 300, 2)], vectors(1, 150))
        made.delete([f"i{at}" for at in range(1, 300, 6)])
        yield made


@st.composite
def embeddings(draw: st.DrawFn) -> Floats:
    """Mostly good ones, as a matrix or flat; else of no direction, not finite, or not whole."""
    good = vectors(draw(st.integers(0, 50)), draw(st.integers(1, 4))) * draw(st.sampled_from([1, 3]))
    match draw(st.sampled_from(["matrix", "matrix", "flat", "flat", "nothing", "not finite", "half"])):
        case "flat":
            return good.reshape(-1)
        case "nothing":
            good[0] = 0
        case "not finite":
            good[-1, 0] = np.nan
        case "half":
            return good.reshape(-1)[: DIMENSION // 2]
    return good


INQUIRIES = st.builds(
    lambda name, queries, space, k, effort, generation, fingerprint, deadline: Inquiry(
        {name: Search(queries, space=space)},
        k,
        effort=effort,
        min_generation=generation,
        fingerprint=fingerprint,
        deadline=deadline,
    ),
    st.sampled_from("ab"),
    embeddings(),
    st.sampled_from(["content", "content", "content", "content-1", "never"]),
    st.sampled_from([3, 3, 50]),
    st.sampled_from([None, None, 40]),
    st.sampled_from([0, 0, 1, 99]),
    st.sampled_from([None, None, "f", "g"]),
    st.sampled_from([None, None, NEVER, LONG_AGO]),
)


def told(outcome: Outcome | Exception) -> object:
    if isinstance(outcome, Exception):
        return type(outcome), str(outcome)
    return outcome.generation, outcome.results, tuple(outcome.unknown)


def by_itself(library: Library, inquiry: Inquiry) -> object:
    try:
        return told(search(library, inquiry))
    except Exception as error:
        return told(error)


@given(inquiries=st.lists(INQUIRIES, min_size=1, max_size=8))
def test_each_search_gets_what_it_would_have_got_by_itself(library: Library, inquiries: list[Inquiry]) -> None:
    groups: dict[object, list[Inquiry]] = {}
    for inquiry in inquiries:
        groups.setdefault(alike(inquiry), []).append(inquiry)
    for group in groups.values():
        assert [told(outcome) for outcome in search_together(library, group)] == [by_itself(library, one) for one in group]


def test_halves_of_embeddings_are_not_put_together(library: Library) -> None:
    half = Inquiry({"a": Search(vectors(3, 1).reshape(-1)[:3])}, 3)
    outcomes = search_together(library, [half, half])
    assert [told(outcome) for outcome in outcomes] == [by_itself(library, half)] * 2
    assert "3 numbers" in str(outcomes[0])


def test_a_deadline_that_passes_during_the_search_is_missed_by_its_search_alone(library: Library) -> None:
    class Soon(Deadline):
        """Passes when it is looked at for the second time."""

        looks: list[int] = []  # noqa: RUF012

        @property
        def expired(self) -> bool:
            self.looks.append(1)
            return len(self.looks) > 1

    late, patient = (Inquiry({"a": Search(vectors(3, 1))}, 3, deadline=deadline) for deadline in (Soon(0.0), None))
    missed, answered = search_together(library, [late, patient])
    assert (type(missed), str(missed)) == (DeadlineMissed, str(DeadlineMissed("search")))
    assert told(answered) == by_itself(library, patient)


@pytest.mark.parametrize(
    "inquiry",
    [
        Inquiry({"a": Search(positive=["i1"])}, 3),
        Inquiry({"a": Search(vectors(0, 1)), "b": Search(vectors(0, 1))}, 3),
        Inquiry({"a": Search(vectors(0, MOST_NUMBERS // DIMENSION + 1))}, 3),
        Inquiry({"a": Search(vectors(0, 1))}, 3, exact=True),
        Inquiry({"a": Search(vectors(0, 1))}, 3, filter=Where("year", Range(1, None))),
        Inquiry({"a": Search(vectors(0, 1))}, 3, exclude=["i1"]),
        Inquiry({"a": Search(vectors(0, 1))}, 3, fusion=Fusion(min_max, 9)),
        Inquiry({"a": Search(vectors(0, 1))}, 3, grouping=Grouping("author", 1)),
        Inquiry({"a": Search(vectors(0, 1))}, 3, diversity=Diversity(0.5, 9)),
    ],
)
def test_what_asks_for_more_is_answered_by_itself(inquiry: Inquiry) -> None:
    assert alike(inquiry) is None
    assert alike(Inquiry({"a": Search(vectors(0, 1))}, 3)) is not None
