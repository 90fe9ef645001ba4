from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import CursorInvalid, EventInvalid
from gateway.profiles import Event, cursor_after, milliseconds, seq_of


@given(seq=st.integers(1, 2**63 - 1))
def test_a_cursor_leads_back_to_its_number(seq: int) -> None:
    assert seq_of(cursor_after(seq)) == seq


@given(text=st.text(max_size=20))
def test_any_other_text_is_no_cursor(text: str) -> None:
    assume(not (text.startswith("e") and text[1:] == text[1:].lower() and text[1:].isalnum()))
    with pytest.raises(CursorInvalid, match="next_cursor"):
        seq_of(text)


@given(at=st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)))
def test_a_stored_time_is_the_one_given_to_the_millisecond(at: datetime) -> None:
    event = Event("ann", milliseconds(at), "dune", "like", 4.5)
    assert abs(event.time - at) < timedelta(milliseconds=1)


def test_a_time_without_offset_is_utc_and_an_impossible_one_is_refused() -> None:
    assert milliseconds(datetime(1970, 1, 1, 1)) == 3_600_000
    assert milliseconds(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    with pytest.raises(EventInvalid, match="1899"):
        milliseconds(datetime(1899, 12, 31, tzinfo=UTC))
