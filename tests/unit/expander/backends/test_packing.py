"""Expansions as text, and what else may lie where they are read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander.backends.packing import FEWEST, LONGEST, MOST, packed, unpacked
from expander.entries import Entry

WORDS = st.text(min_size=1, max_size=LONGEST).filter(str.isprintable)
TOPICS = st.just(()) | st.lists(WORDS, min_size=FEWEST, max_size=MOST).map(tuple)
COUNTS, TIMES = st.integers(0, 2**53), st.floats(0, 1e15)
ENTRIES = st.builds(Entry, TOPICS, TIMES, COUNTS, st.none() | WORDS, st.booleans(), COUNTS, TIMES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SOUND = packed(Entry(("one", "two", "three"), 1_000.5, 120, cause="too_few", personal=True, completion_tokens=20))


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert unpacked(packed(entry)) == entry
    assert unpacked(packed(entry).encode()) == entry


@given(st.binary() | st.text())
def test_what_is_no_entry_is_none_whatever_it_is(value: bytes | str) -> None:
    assert unpacked(value) is None


@given(st.sampled_from(sorted(json.loads(SOUND))), JSON)
def test_what_is_read_is_sound_whichever_field_was_changed(name: str, value: Any) -> None:
    entry = unpacked(json.dumps({**json.loads(SOUND), name: value}))
    if entry is not None:
        assert len(entry.topics) in (0, *range(FEWEST, MOST + 1))
        assert all(isinstance(topic, str) and 0 < len(topic) <= LONGEST and topic.isprintable() for topic in entry.topics)
        assert unpacked(packed(entry)) == entry


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"topics": ["one", "two"]},
        {"topics": ["one", "two", "three", "four", "five", "six"]},
        {"topics": ["one", "two", "th\x1bree"]},
        {"topics": ["one", "two", "t" * (LONGEST + 1)]},
        {"topics": "three"},
        {"made_at": float("nan")},
        {"made_at": float("inf")},
        {"made_at": -1},
        {"tokens": True},
        {"tokens": 1.5},
        {"personal": 1},
        {"cause": ""},
        {"more": 1},
    ],
)
def test_each_field_is_checked(changes: dict[str, Any]) -> None:
    assert unpacked(SOUND) is not None
    assert unpacked(json.dumps({**json.loads(SOUND), **changes})) is None


@pytest.mark.parametrize("text", [SOUND[:-1], "[" * 100_000, '{"made_at": 1' + "0" * 5_000 + "}", "{}", "null", ""])
def test_damaged_text_is_none(text: str) -> None:
    assert unpacked(text) is None


def test_a_field_that_is_missing_makes_it_none() -> None:
    whole = json.loads(SOUND)
    assert all(unpacked(json.dumps({field: whole[field] for field in whole if field != name})) is None for name in whole)
