"""The latest embeddings stay, in so many bytes and no more, each in its own space only."""

import gc
import threading
import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoder.recent import ENTRY_BYTES, Recent

ROW = np.arange(4, dtype=np.float32)
SIZE = ROW.nbytes + ENTRY_BYTES


def test_what_was_kept_is_found_with_its_tokens() -> None:
    recent = Recent(10 * SIZE, "space")
    recent.put(recent.key("text"), ROW, 7)
    found = recent.get(recent.key("text"))
    assert found is not None
    assert np.array_equal(found.embedding, ROW)
    assert found.tokens == 7
    assert recent.get(recent.key("other")) is None


def test_what_is_kept_is_a_copy() -> None:
    recent, row = Recent(10 * SIZE, "space"), ROW.copy()
    recent.put(recent.key("text"), row, 1)
    row[:] = -1
    found = recent.get(recent.key("text"))
    assert found is not None
    assert np.array_equal(found.embedding, ROW)


def test_the_least_recently_used_goes_first() -> None:
    recent = Recent(2 * SIZE, "space")
    for name in ("first", "second"):
        recent.put(recent.key(name), ROW, 1)
    recent.get(recent.key("first"))
    recent.put(recent.key("third"), ROW, 1)
    assert [recent.get(recent.key(name)) is not None for name in ("first", "second", "third")] == [True, False, True]


def test_nothing_is_kept_without_room() -> None:
    for capacity in (0, SIZE - 1):
        recent = Recent(capacity, "space")
        recent.put(recent.key("text"), ROW, 1)
        assert recent.get(recent.key("text")) is None
        assert recent.held == 0


@given(st.text(), st.text())
def test_keys_are_equal_for_equal_texts_of_one_space_only(text: str, other: str) -> None:
    recent = Recent(0, "space")
    assert recent.key(text) == Recent(9, "space").key(text)
    assert (recent.key(text) == recent.key(other)) == (text == other)
    assert recent.key(text) != Recent(0, "another").key(text)


def test_a_lone_surrogate_has_a_key() -> None:
    assert len(Recent(0, "space").key("\ud800")) == 16


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_what_is_held_is_what_can_be_found(steps: list[tuple[str, bool]]) -> None:
    recent = Recent(3 * SIZE, "space")
    for name, put in steps:
        if put:
            recent.put(recent.key(name), ROW, 1)
        else:
            recent.get(recent.key(name))
        assert recent.held == SIZE * sum(recent.get(recent.key(name)) is not None for name in "abcdef") <= 3 * SIZE


def test_memory_stays_within_the_capacity() -> None:
    capacity, row = 2**20, np.zeros(384, np.float32)
    gc.collect()
    tracemalloc.start()
    try:
        recent = Recent(capacity, "space")
        for number in range(3_000):  # five times as many as there is room for
            recent.put(recent.key(f"text {number}"), row, 1)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert capacity / 2 < used <= capacity * 1.02


def test_several_threads_may_use_it() -> None:
    recent = Recent(20 * SIZE, "space")

    def work(seed: int) -> None:
        for number in range(2_000):
            key = recent.key(str((number * seed) % 50))
            recent.put(key, ROW, 1)
            recent.get(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recent.held == 20 * SIZE == SIZE * sum(recent.get(recent.key(str(number))) is not None for number in range(50))
