from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.allowed import Allowed
from retriever.fusion import first_places, fuse, union
from retriever.items import Doubles, Rows
from retriever.spread import Spread


@dataclass
class Listed:
    """A source that says what it was given."""

    scores: Doubles
    spread: Spread

    def top(self, allowed: Allowed, n: int) -> list[Rows]:
        raise NotImplementedError

    def raw(self, rows: Rows) -> Doubles:
        return self.scores[rows]

    def found_by(self, rows: Rows) -> list[str | None]:
        raise NotImplementedError


def test_the_score_is_the_weighted_sum_of_standard_scores() -> None:
    sources = {"a": Listed(np.array([1.0, 5.0, 3.0]), Spread(1.0, 2.0)), "b": Listed(np.array([0.5, 0.5, 0.5]), Spread(0.5, 0.0))}
    fused = fuse(sources, {"a": 3.0, "b": 7.0}, np.array([0, 1]))
    assert fused.scores.tolist() == [0.0, 6.0]
    assert {name: of.tolist() for name, of in fused.standard.items()} == {"a": [0.0, 2.0], "b": [0.0, 0.0]}


def test_a_row_proposed_twice_is_in_the_pool_once() -> None:
    assert union([[np.array([4, 1])], [np.array([1]), np.array([2])]], 6).tolist() == [1, 2, 4]


@given(scores=st.lists(st.integers(0, 3).map(float), max_size=30), k=st.integers(1, 35))
def test_places_are_ordered_by_score_and_then_by_id(scores: list[float], k: int) -> None:
    ids = [f"{(7 * place) % 31:02}" for place in range(len(scores))]
    expected = sorted(range(len(scores)), key=lambda place: (-scores[place], ids[place]))[:k]
    assert first_places(np.array(scores), lambda places: [ids[place] for place in places], k) == expected
