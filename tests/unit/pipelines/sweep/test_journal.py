"""What was finished is found again; a line that was cut off is dropped, a damaged one is refused."""

import json
from pathlib import Path

import pytest

from pipelines.sweep.faults import JournalRefused
from pipelines.sweep.journal import Journal
from pipelines.sweep.runs import Answer, Run

CELL = {"endpoint": "a", "concurrency": 4}
RUN = Run(
    (Answer(1.5, 10, 5, 0.5), Answer(2.5, 11, 5)), {"timeout": 1}, {"timeout": "none"}, 3.0, 2.0, 0.1, "max_tokens alone", started="now"
)


def test_a_run_is_found_again_as_it_was(tmp_path: Path) -> None:
    with Journal(tmp_path / "deep" / "cells.jsonl") as journal:
        journal.add(CELL, RUN)
    with Journal(tmp_path / "deep" / "cells.jsonl") as journal:
        assert journal.find(dict(reversed(CELL.items()))) == RUN
        assert journal.find({**CELL, "concurrency": 1}) is None


def test_a_cell_that_answered_nothing_is_not_finished(tmp_path: Path) -> None:
    with Journal(tmp_path / "cells.jsonl") as journal:
        journal.add(CELL, Run((), {"timeout": 10}, {}, 0.0, 1.0, 0.1))
        assert journal.find(CELL) is None


def test_a_line_that_was_cut_off_is_dropped_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    with Journal(path) as journal:
        journal.add(CELL, RUN)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    with Journal(path) as journal:
        assert journal.find(CELL) == RUN
        journal.add({"endpoint": "b"}, RUN)
    assert [json.loads(line)["cell"] for line in path.read_text().splitlines()] == [CELL, {"endpoint": "b"}]


@pytest.mark.parametrize("line", ["{}", "[]", "nonsense", '{"cell": {}, "run": {"answers": []}}'])
def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "cells.jsonl").write_text(line + "\n")
    with pytest.raises(JournalRefused, match=r"line 1 is no cell of a sweep.*name another --out"), Journal(tmp_path / "cells.jsonl"):
        pass


def test_only_one_sweep_writes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    with Journal(path), pytest.raises(JournalRefused, match="Another sweep is writing"), Journal(path):
        pass
