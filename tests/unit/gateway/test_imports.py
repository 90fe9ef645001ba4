from hypothesis import given
from hypothesis import strategies as st

from gateway.imports import lines


@given(rows=st.lists(st.binary(max_size=5).filter(lambda row: b"\n" not in row), max_size=20))
def test_rows_are_numbered_as_they_stand_and_blank_ones_left_out(rows: list[bytes]) -> None:
    assert list(lines(b"\n".join(rows))) == [(number, row.strip()) for number, row in enumerate(rows, 1) if row.strip()]


def test_a_last_line_break_and_carriage_returns_make_no_row() -> None:
    assert list(lines(b"a\r\nb\r\n")) == [(1, b"a"), (2, b"b")]
