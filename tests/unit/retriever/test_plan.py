from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.unit.retriever.segments.sealing import nearest, recall, seal, topics, unit

from retriever import plan, sealedsearch
from retriever.allowed import Allowed
from retriever.items import Bools, Rows
from retriever.plan import FlatPart, Found, Part, SealedPart
from retriever.sealedsearch import SealedSearch
from retriever.segments.flat import FlatSegment

ROWS, DIM, SEALED = 24_000, 64, (20_000, 1_000)
"""The first part is large enough for clusters, the second is not, the rest lies in two flat segments."""
VECTORS = topics(ROWS, DIM)
NUMBERS: Rows = np.random.default_rng(5).permutation(ROWS)
QUERIES = topics(70, DIM, seed=6)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    made, at = list[Part](), 0
    for rows in SEALED:
        folder = tmp_path_factory.mktemp("sealed")
        made.append(SealedPart(seal(folder, VECTORS[at : at + rows], NUMBERS[at : at + rows]), BitMap()))
        at += rows
    for rows in (1_000, ROWS - at - 1_000):
        flat = FlatSegment()
        flat.append(0, VECTORS[at : at + rows])
        made.append(FlatPart(flat, NUMBERS[at : at + rows], BitMap()))
        at += rows
    return made


def truth(kept: Bools, n: int = 10, queries: int = len(QUERIES)) -> Rows:
    return nearest(QUERIES[:queries], VECTORS[kept], NUMBERS[kept], n)


def allowing(kept: Bools) -> Allowed:
    return Allowed(BitMap(NUMBERS[kept].astype(np.uint32)))


def chosen(how: str, share: float, seed: int) -> Bools:
    """At random, or the vectors that lie nearest to one of them: most queries lie elsewhere."""
    rng = np.random.default_rng(seed)
    merit = rng.random(ROWS) if how == "random" else VECTORS @ VECTORS[rng.integers(ROWS)]
    kept = np.zeros(ROWS, np.bool_)
    kept[np.argsort(-merit)[: int(share * ROWS)]] = True
    return kept


@trying(max_examples=25)
@given(
    share=st.sampled_from([0.0001, 0.003, 0.1, 0.7, None]), n=st.sampled_from([1, 10, 50]), many=st.booleans(), seed=st.integers(0, 2**32)
)
def test_an_exact_search_is_the_sorted_scan(parts: list[Part], share: float | None, n: int, many: bool, seed: int) -> None:
    kept = np.ones(ROWS, np.bool_) if share is None else chosen("random", share, seed)
    queries = 30 if many else 2
    found = plan.search(parts, QUERIES[:queries], n, None if share is None else allowing(kept), exact=True)
    expected = truth(kept, n, queries)
    there = expected.shape[1]
    assert np.sort(found.numbers[:, :there]).tolist() == np.sort(expected).tolist()
    assert (found.numbers[:, there:] == -1).all()
    assert np.isneginf(found.scores[:, there:]).all()
    assert (np.diff(found.scores[:, :there], axis=1) <= 0).all()
    assert {part.taken for part in found.plan} == {"exact"}


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.005])
@pytest.mark.parametrize("how", ["random", "correlated"])
def test_recall_holds_under_every_filter(parts: list[Part], how: str, share: float) -> None:
    """Where plain FAISS with a selector collapses, see test_traps."""
    kept = chosen(how, share, seed=7)
    found = plan.search(parts, QUERIES, 10, allowing(kept))
    assert recall(found.numbers, truth(kept)) >= 0.98
    assert allowing(kept).has(found.numbers).all()


def test_recall_holds_without_a_filter(parts: list[Part]) -> None:
    found = plan.search(parts, QUERIES, 10)
    assert recall(found.numbers, truth(np.ones(ROWS, np.bool_))) >= 0.98
    assert [part.taken for part in found.plan] == ["graph", "graph", "exact", "exact"]


@pytest.mark.parametrize("share", [None, 0.3])
def test_dead_rows_are_never_found_and_nothing_else_is_lost(parts: list[Part], share: float | None) -> None:
    first, small, flat, last = parts
    assert isinstance(first, SealedPart)
    assert isinstance(flat, FlatPart)
    everything = truth(np.ones(ROWS, np.bool_))
    dead = np.isin(NUMBERS, everything[:, :3]) & (np.arange(ROWS) < SEALED[0])  # what a search would find first
    dying: list[Part] = [
        SealedPart(first.segment, BitMap(NUMBERS[dead].astype(np.uint32))),
        small,
        FlatPart(flat.segment, flat.numbers, BitMap([0, 7])),
        last,
    ]
    alive = ~dead
    alive[[sum(SEALED), sum(SEALED) + 7]] = False
    if share is not None:
        alive &= chosen("random", share, seed=8)
    for exact in (False, True):
        found = plan.search(dying, QUERIES, 10, None if share is None else allowing(alive | dead), exact=exact)
        assert not np.isin(found.numbers, NUMBERS[dead]).any()
        assert recall(found.numbers, truth(alive)) >= (1 if exact else 0.98)


def test_a_number_overwritten_within_a_flat_segment_is_found_once_at_its_new_place() -> None:
    flat = FlatSegment()
    flat.append(0, np.eye(3, dtype=np.float32)[[0, 1, 2]])
    part = FlatPart(flat, np.array([4, 9, 4]), BitMap([0]))
    found = plan.search([part], np.eye(3, dtype=np.float32)[[0, 2]], 3)
    assert found.numbers.tolist() == [[4, 9, -1], [4, 9, -1]]
    assert found.scores[:, 0].tolist() == [0, 1]


def test_equal_scores_of_different_parts_are_ordered_by_number(tmp_path: Path) -> None:
    same = np.repeat(unit(np.ones((1, 8), np.float32)), 6, axis=0)
    flat = FlatSegment()
    flat.append(0, same)
    parts: list[Part] = [
        FlatPart(flat, np.array([11, 3, 7, 1, 20, 5]), BitMap()),
        SealedPart(seal(tmp_path, same, np.array([2, 12, 4, 0, 30, 6])), BitMap()),
    ]
    assert plan.search(parts, same[:1], 12).numbers.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 20, 30]]


def test_what_no_part_holds_gives_nothing(parts: list[Part]) -> None:
    for found in (plan.search([], QUERIES[:2], 3), plan.search(parts, QUERIES[:2], 3, Allowed(BitMap()))):
        assert (found.numbers == -1).all()
        assert found.numbers.shape == found.scores.shape == (2, 3)
    assert plan.search(parts, QUERIES[:0], 3).numbers.shape == (0, 3)


def test_a_filter_whose_items_all_lie_in_another_part_costs_that_part_nothing_in_recall(parts: list[Part]) -> None:
    """The planner's guess of a part's share is then wrong for every part."""
    kept = np.arange(ROWS) >= SEALED[0]
    assert recall(plan.search(parts, QUERIES, 10, allowing(kept)).numbers, truth(kept)) >= 0.98


def test_a_sample_that_proves_an_answer_wrong_has_it_made_again(parts: list[Part]) -> None:
    kept = chosen("random", 0.6, seed=9)
    allowed = allowing(kept)
    first = parts[0]
    assert isinstance(first, SealedPart)
    search = SealedSearch(first, QUERIES, 10, allowed, None, 0.6)
    poor = np.full((len(QUERIES), 10), -1.0, np.float32), np.full((len(QUERIES), 10), NUMBERS[kept][0])
    assert search._wrong(*poor).all()
    right = plan.search(parts[:1], QUERIES, 10, allowed, exact=True)
    assert not search._wrong(right.scores, right.numbers).any()


def test_effort_is_taken_from_the_request(parts: list[Part]) -> None:
    assert plan.search(parts[:1], QUERIES[:1], 10, effort=333).plan[0].effort == 333
    everything = np.ones(ROWS, np.bool_)
    least, most = (recall(plan.search(parts, QUERIES, 1, effort=effort).numbers, truth(everything, 1)) for effort in (1, 400))
    assert least < most


@pytest.mark.parametrize("share", [0.3, 0.1])
def test_codes_are_compared_for_the_queries_that_are_far_from_what_is_allowed(
    parts: list[Part], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealedsearch, "EXACT_ROWS", 500)
    kept = chosen("correlated", share, 3)
    alone = [plan.search(parts, QUERIES[at : at + 1], 10, allowing(kept)) for at in range(len(QUERIES))]
    assert {found.plan[0].taken for found in alone} == {"graph", "probed"}
    assert recall(np.concatenate([found.numbers for found in alone]), truth(kept)) >= 0.98
    together = plan.search(parts, QUERIES, 10, allowing(kept))
    assert together.plan[0].taken == "graph"
    assert together.plan[0].rescanned >= sum(found.plan[0].taken == "probed" for found in alone) / 2
    assert recall(together.numbers, truth(kept)) >= 0.98


def test_a_graph_that_left_too_little_is_asked_for_more(parts: list[Part]) -> None:
    """The clusters near the queries promise twice as much as is there."""
    kept = chosen("random", 0.5, 4)
    first = parts[0]
    assert isinstance(first, SealedPart)
    search = SealedSearch(first, QUERIES, 10, allowing(kept), None, 0.5)
    scores, numbers, told = search._nearest(np.full(len(QUERIES), 18), "")
    assert told.rescanned < len(QUERIES) / 10
    assert told.effort > first.segment.effort(10) + 18
    assert recall(numbers, truth(kept & (np.arange(ROWS) < SEALED[0]))) >= 0.98
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_filter_asked_again_is_worked_out_once_and_deaths_count_at_once(parts: list[Part]) -> None:
    first = parts[0]
    assert isinstance(first, SealedPart)
    allowed = allowing(chosen("random", 0.1, 5))
    assert first.alive(allowed) is allowed
    dying = SealedPart(first.segment, BitMap([int(NUMBERS[0]), allowed.numbers[7]]))
    assert dying.alive(allowed) is dying.alive(allowed)
    assert dying.alive(allowed).numbers == allowed.numbers - dying.dead
    assert dying.alive(None).numbers == BitMap(first.segment.numbers.tolist()) - dying.dead


class Late(Exception):
    pass


def until(looks: int) -> Callable[[], None]:
    """A deadline that passes after so many looks at it."""
    left = [looks]

    def look() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Late

    return look


@pytest.mark.parametrize("looks", [0, 1, 5])
def test_a_deadline_stops_the_work_between_parts_and_blocks(parts: list[Part], looks: int) -> None:
    with pytest.raises(Late):
        plan.search(parts, QUERIES, 10, deadline=until(looks))
    assert len(plan.search(parts, QUERIES, 10, deadline=until(2 * len(parts))).plan) == len(parts)


def test_the_plan_says_what_was_done_and_why(parts: list[Part]) -> None:
    def first(found: Found) -> tuple[str, str]:
        return found.plan[0].taken, found.plan[0].why

    assert first(plan.search(parts, QUERIES, 10, exact=True)) == ("exact", "asked for")
    assert first(plan.search(parts, QUERIES, 10)) == ("graph", "no filter")
    assert first(plan.search(parts, QUERIES, 10, allowing(chosen("random", 0.5, 1)))) == ("graph", "a share of 0.5000 is allowed")
    assert first(plan.search(parts, QUERIES, 10, allowing(chosen("random", 0.01, 1)))) == ("exact", "about 200 rows are allowed")
