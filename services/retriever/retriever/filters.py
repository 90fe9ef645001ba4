"""The language of filters: what an expression is and what it means for one item. Knows nothing of vectors, indexes and the wire.

Words equal exactly, a list equals each of its words, numbers are compared as float64, a number never equals a truth value, and an
attribute that an item does not have meets no condition but `NoneOf` and `Exists(False)`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from retriever.items import AttributeValue

Scalar = bool | int | float | str
ID = "id"
"""The name under which a filter means the item's id and no attribute."""
ALWAYS_CONDITIONS = frozenset({"gte", "lte", "any", "none"})
"""`{"not": {"gte": 1}}` is a condition on an attribute called "not", as it was before filters could be negated."""


@dataclass(frozen=True)
class Range:
    """Numbers between the ends that are not None."""

    gte: float | None = None
    lte: float | None = None
    gt: float | None = None
    lt: float | None = None


@dataclass(frozen=True)
class AnyOf:
    """Equals, or its list contains, one of `values`."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class NoneOf:
    """Neither equals nor contains any of `values`; also holds where the attribute is missing."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Contains:
    """Is a list, and `word` is in it."""

    word: str


@dataclass(frozen=True)
class Exists:
    """The item has the attribute, an empty list included; with `wanted` False, it does not."""

    wanted: bool = True


Condition = Range | AnyOf | NoneOf | Contains | Exists


@dataclass(frozen=True)
class Where:
    """The attribute `name`, or the item's id for "id", meets `condition`."""

    name: str
    condition: Condition


@dataclass(frozen=True)
class And:
    """All of `parts`; of none of them, everything."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Or:
    """At least one of `parts`; of none of them, nothing."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Not:
    """What `part` leaves out."""

    part: "Expression"


Expression = Where | And | Or | Not
EVERYTHING = And(())


def expression(conditions: Mapping[str, Any]) -> Expression:
    """What a filter says that was checked when it came over the wire, as plain JSON values."""
    parts = tuple(part for name, condition in conditions.items() for part in _parts(name, condition))
    return parts[0] if len(parts) == 1 else And(parts)


def _parts(name: str, condition: Any) -> Iterator[Expression]:
    if name in ("and", "or") and isinstance(condition, list | tuple):
        parts = tuple(expression(part) for part in condition)
        yield And(parts) if name == "and" else Or(parts)
    elif not isinstance(condition, Mapping):
        yield Where(name, AnyOf((condition,)))
    elif name == "not" and not condition.keys() <= ALWAYS_CONDITIONS:
        yield Not(expression(condition))
    else:
        yield from (Where(name, part) for part in _conditions(condition))


def _conditions(said: Mapping[str, Any]) -> Iterator[Condition]:
    ends = {name: float_of(said[name]) for name in ("gte", "lte", "gt", "lt") if said.get(name) is not None}
    if ends:
        yield Range(**ends)
    if "eq" in said:
        yield AnyOf((said["eq"],))
    for name in ("any", "in"):
        if name in said:
            yield AnyOf(tuple(said[name]))
    if "none" in said:
        yield NoneOf(tuple(said["none"]))
    if "contains" in said:
        yield Contains(said["contains"])
    if "exists" in said:
        yield Exists(said["exists"])


def meets(wanted: Expression, item_id: str, attributes: Mapping[str, AttributeValue]) -> bool:
    """Whether one item meets the expression: the definition that every index is tested against."""
    match wanted:
        case And(parts):
            return all(meets(part, item_id, attributes) for part in parts)
        case Or(parts):
            return any(meets(part, item_id, attributes) for part in parts)
        case Not(part):
            return not meets(part, item_id, attributes)
        case Where(name, condition):
            return _holds(condition, item_id if name == ID else attributes.get(name))


def _holds(condition: Condition, value: AttributeValue | None) -> bool:
    match condition:
        case Range():
            return is_number(value) and _between(float_of(value), condition)
        case AnyOf(values):
            return any(_equal(value, other) for other in values)
        case NoneOf(values):
            return not any(_equal(value, other) for other in values)
        case Contains(word):
            return isinstance(value, tuple) and word in value
        case Exists(wanted):
            return (value is not None) == wanted


def _between(value: float, ends: Range) -> bool:
    return (
        (ends.gte is None or value >= ends.gte)
        and (ends.lte is None or value <= ends.lte)
        and (ends.gt is None or value > ends.gt)
        and (ends.lt is None or value < ends.lt)
    )


def _equal(value: AttributeValue | None, other: Scalar) -> bool:
    if isinstance(value, tuple):
        return other in value
    if is_number(value) and is_number(other):
        return float_of(value) == float_of(other)
    return type(value) is type(other) and value == other


def is_number(value: object) -> TypeGuard[int | float]:
    """True for numbers, not for truth values."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def float_of(value: float) -> float:
    """As float64; an integer beyond its range becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
