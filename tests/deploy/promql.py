"""Reads the series and labels that a PromQL expression names. Knows nothing of which of them exist, nor of whether it is valid PromQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<range>\[[^\]]*\])
    |(?P<number>\d[\w.]*)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},@])""",
    re.VERBOSE,
)
LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
AGGREGATIONS = {"sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile"}


@dataclass(frozen=True)
class Matcher:
    """`label`, one of `=`, `!=`, `=~`, `!~`, and the value without its quotes."""

    label: str
    sign: str
    value: str


@dataclass
class Named:
    """What an expression names: series with their matchers, and the labels in by, on and the like."""

    series: list[tuple[str, tuple[Matcher, ...]]] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


def tokens(expression: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each token; raises `ValueError` where none begins."""
    at = 0
    while at < len(expression):
        if (found := TOKEN.match(expression, at)) is None:
            raise ValueError(f"no PromQL at {expression[at : at + 20]!r}")
        at = found.end()
        if found.lastgroup not in ("space", "range"):
            yield str(found.lastgroup), found.group()


def named(expression: str) -> Named:
    """The series and labels of the expression."""
    read, found, at = [*tokens(expression), ("end", "")], Named(), 0
    while read[at][0] != "end":
        kind, text = read[at]
        at += 1
        if kind != "name" or text.lower() in WORDS:
            continue
        if text in LABEL_LISTS:
            if read[at][1] == "(":
                end = read.index(("sign", ")"), at)
                found.labels |= {word for of, word in read[at:end] if of == "name"}
                at = end + 1
        elif text not in AGGREGATIONS and read[at][1] != "(":
            end = read.index(("sign", "}"), at) if read[at][1] == "{" else at
            found.series.append((text, tuple(_matchers(read[at:end]))))
            at = end
    return found


def _matchers(inside: list[tuple[str, str]]) -> Iterator[Matcher]:
    for at, (kind, text) in enumerate(inside):
        if kind == "name":
            yield Matcher(text, inside[at + 1][1], inside[at + 2][1][1:-1])
