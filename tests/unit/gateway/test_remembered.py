from gateway.remembered import Remembered, shape_of


def test_the_oldest_shape_goes_first() -> None:
    kept = Remembered[str](2)
    for shape in ("a", "b", "a", "c"):
        kept.keep(shape, shape.upper(), None, 0)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == ("A", None, "C")


def test_a_users_results_are_forgotten_and_others_stay() -> None:
    kept = Remembered[str](9)
    kept.keep("a", "A", "ann", 0)
    kept.keep("b", "B", "bob", 0)
    kept.keep("c", "C", None, 0)
    kept.forget("ann")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (None, "B", "C")


def test_a_request_that_began_before_an_erasure_is_not_kept_after_it() -> None:
    kept = Remembered[str](9)
    since = kept.erasures
    kept.forget("ann")
    kept.keep("a", "A", "ann", since)
    kept.keep("c", "C", None, since)
    assert (kept.get("a"), kept.get("c")) == (None, "C")


def test_a_shape_is_short_and_goes_by_what_is_asked_not_by_its_order() -> None:
    first, second = shape_of({"a": 1, "b": [2]}, ("space",), 10), shape_of({"b": [2], "a": 1}, ("space",), 10)
    assert first == second != shape_of({"a": 1}, ("space",), 10)
    assert len(first or "") == 64


def test_a_request_with_a_giant_filter_is_not_remembered() -> None:
    kept = Remembered[str](9)
    kept.keep(shape_of({"genres": {"any": ["x" * 500] * 21}}), "A", None, 0)
    assert kept._kept == {}
    assert kept.get(None) is None


def test_a_result_that_is_revised_to_none_is_dropped() -> None:
    kept = Remembered[str](9)
    kept.keep("a", "A", None, 0)
    kept.keep("b", "B", None, 0)
    kept.revise(lambda result: None if result == "A" else "C")
    assert (kept.get("a"), kept.get("b")) == (None, "C")
