from gateway.remembered import Remembered


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
