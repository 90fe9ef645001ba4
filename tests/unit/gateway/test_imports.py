import asyncio
import threading
from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway import imports
from gateway.imports import BYTE_ORDER_MARK, STEP_BYTES, lines
from gateway.profiles import Event


@given(rows=st.lists(st.binary(max_size=5).filter(lambda row: b"\n" not in row), max_size=20))
def test_rows_are_numbered_as_they_stand_and_blank_ones_left_out(rows: list[bytes]) -> None:
    assume(not (rows and rows[0].startswith(BYTE_ORDER_MARK)))
    assert list(lines(b"\n".join(rows))) == [(number, row.strip()) for number, row in enumerate(rows, 1) if row.strip()]


def test_a_last_line_break_and_carriage_returns_make_no_row() -> None:
    assert list(lines(b"a\r\nb\r\n")) == [(1, b"a"), (2, b"b")]


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    assert list(lines(BYTE_ORDER_MARK + b"a\nb")) == [(1, b"a"), (2, b"b")]


def test_blank_lines_are_counted_however_many() -> None:
    blank = 3 * STEP_BYTES + 5
    assert list(lines(b"a" + b"\n" * blank + b" b")) == [(1, b"a"), (blank + 1, b"b")]


class Store:
    """Takes events and counts them."""

    async def add(self, events: Sequence[Event]) -> int:
        return len(events)


async def test_rows_are_split_and_parsed_beside_the_event_loop_and_a_giant_one_is_not_parsed() -> None:
    parsed: list[tuple[int, bool]] = []

    def parse(line: bytes) -> Event:
        parsed.append((len(line), threading.current_thread() is threading.main_thread()))
        return Event("ann", 1, "dune", "like", None)

    body = b"a" * 10 + b"\n" + b"b" * (imports.MAX_LINE_BYTES + 1) + b"\n"
    outcomes = [outcome for portion, _ in [one async for one in imports.events(body, parse, Store())] for outcome in portion]
    assert parsed == [(10, False)]
    assert [outcome.row for outcome in outcomes] == [1, 2]
    assert outcomes[0].reason is None
    assert "1048577 bytes, more than 1048576" in str(outcomes[1].reason)


async def test_a_body_of_blank_lines_does_not_hold_the_event_loop() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert [one async for one in imports.events(b"\n" * 4_000_000, lambda line: Event("", 0, "", "", None), Store())] == []
    ticking.cancel()
    assert ticks > 0
