"""No module reads a clock when it is imported: a deadline made then has passed by the time that the last test of a long run begins."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLOCKS = {"after_ms", "monotonic", "monotonic_ns", "now", "perf_counter", "perf_counter_ns", "time", "time_ns", "today", "utcnow"}


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """What runs when a module of that body is imported: all but the insides of functions, and what only a main program does."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from (*statement.decorator_list, *statement.args.defaults, *filter(None, statement.args.kw_defaults))
            case ast.ClassDef():
                yield from statement.decorator_list
                yield from at_import(statement.body)
            case ast.If() if "__main__" in ast.unparse(statement.test):
                pass
            case _:
                yield statement


def clocks(source: str) -> list[str]:
    """The calls of clocks that an import makes, those that it only writes down in a lambda aside."""
    waiting, found = list(at_import(ast.parse(source).body)), []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in CLOCKS:
            found.append(ast.unparse(node))
        waiting += ast.iter_child_nodes(node)
    return found


def test_no_import_reads_a_clock() -> None:
    paths = [
        path for part in ("services", "pipelines", "tests", "deploy") for path in (ROOT / part).rglob("*.py") if ".venv" not in path.parts
    ]
    assert {str(path.relative_to(ROOT)): found for path in paths if (found := clocks(path.read_text()))} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("SOON = Deadline.after_ms(60_000)", ["Deadline.after_ms(60000)"]),
        ("def ask(since=time.monotonic()): ...", ["time.monotonic()"]),
        ("@parametrize('at', [datetime.now()])\ndef test(at): ...", ["datetime.now()"]),
        ("class Held:\n    since = monotonic()", ["monotonic()"]),
        ("if FAST:\n    START = time.time()", ["time.time()"]),
        ("def ask():\n    return time.monotonic()\nlater = lambda: time.time()", []),
        ("if __name__ == '__main__':\n    print(time.time())", []),
    ],
)
def test_the_check_sees_what_an_import_runs_and_nothing_else(source: str, found: list[str]) -> None:
    assert clocks(source) == found
