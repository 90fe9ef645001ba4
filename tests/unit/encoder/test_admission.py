"""What is let in: by tokens, one rule for short and long, bulk only where it leaves room."""

import pytest

from encoder.admission import Admission
from encoder.errors import Overloaded
from encoder.metrics import EncoderMetrics
from encoder.request import Priority


@pytest.fixture
def metrics() -> EncoderMetrics:
    return EncoderMetrics()


@pytest.fixture
def admission(metrics: EncoderMetrics) -> Admission:
    return Admission(1_000, 256, metrics)


def held(metrics: EncoderMetrics, priority: str = "online") -> float | None:
    return metrics.registry.get_sample_value("encoder_queued_tokens", {"priority": priority})


@pytest.mark.parametrize(("text", "tokens"), [("", 2), ("a" * 40, 12), ("長" * 40, 32), ("\ud800" * 4, 5), ("a" * 1_000_000, 256)])
def test_a_text_weighs_by_its_bytes_until_it_is_tokenised(text: str, tokens: int, admission: Admission, metrics: EncoderMetrics) -> None:
    with admission.admitted([text, text], Priority.ONLINE):
        assert held(metrics) == 2 * tokens
    assert held(metrics) == 0


def test_the_weight_is_corrected(admission: Admission, metrics: EncoderMetrics) -> None:
    with admission.admitted(["a" * 400], Priority.ONLINE) as permit:
        admission.correct(permit, 7)
        assert held(metrics) == 7
    assert held(metrics) == 0


@pytest.mark.parametrize("texts", [["a"], ["a" * 1_000] * 256])
def test_short_and_long_are_refused_alike(texts: list[str], admission: Admission) -> None:
    with admission.admitted(["a"], Priority.ONLINE) as first:
        admission.correct(first, 999)
        assert admission.refusal(coming=0) is None
        with admission.admitted(texts, Priority.ONLINE):
            assert admission.refusal() is not None
    with admission.admitted(["a"], Priority.ONLINE) as first:
        admission.correct(first, 1_000)
        with pytest.raises(Overloaded, match=r"1 passages .* try again"), admission.admitted(texts, Priority.ONLINE):
            pass


def test_those_on_their_way_count(admission: Admission) -> None:
    with admission.admitted(["a"], Priority.ONLINE) as permit:
        admission.correct(permit, 995)
        assert admission.refusal(coming=4) is None
        assert admission.refusal(coming=5) is not None


def test_what_failed_holds_nothing(admission: Admission, metrics: EncoderMetrics) -> None:
    with pytest.raises(ZeroDivisionError), admission.admitted(["a"], Priority.BULK):
        raise ZeroDivisionError
    assert held(metrics, "bulk") == 0
    assert metrics.registry.get_sample_value("encoder_queued_texts") == 0


def test_bulk_leaves_half_of_the_room_to_online(admission: Admission) -> None:
    with admission.admitted(["a"], Priority.BULK) as permit:
        admission.correct(permit, 500)
        assert admission.refusal(Priority.BULK) is not None
        assert admission.refusal(Priority.ONLINE) is None


def test_bulk_always_has_some_room(admission: Admission) -> None:
    with admission.admitted(["a"], Priority.ONLINE) as online, admission.admitted(["a"], Priority.BULK) as bulk:
        admission.correct(online, 900)
        admission.correct(bulk, 62)
        assert admission.refusal(Priority.BULK) is None
        admission.correct(bulk, 63)
        assert admission.refusal(Priority.BULK) is not None
