"""Decides whether an item passes a filter, for answers given without the retriever. Knows nothing of where items come from."""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any

from gateway.candidates import Filter

ENDS: Mapping[str, Callable[[float, float], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
ALWAYS_CONDITIONS = frozenset({"gte", "lte", "any", "none"})
"""`{"not": {"gte": 1}}` is a condition on an attribute called "not"."""


def passes(item_id: str, attributes: Mapping[str, Any], conditions: Filter) -> bool:
    """Whether every condition holds; `conditions` was checked when it came."""
    return all(_holds(item_id, attributes, name, condition) for name, condition in conditions.items())


def _holds(item_id: str, attributes: Mapping[str, Any], name: str, condition: Any) -> bool:
    if name in ("and", "or") and isinstance(condition, list | tuple):
        return (all if name == "and" else any)(passes(item_id, attributes, part) for part in condition)
    if name == "not" and isinstance(condition, Mapping) and not condition.keys() <= ALWAYS_CONDITIONS:
        return not passes(item_id, attributes, condition)
    value = item_id if name == "id" else attributes.get(name)
    if not isinstance(condition, Mapping):
        return _among(value, (condition,))
    return all(_meets(value, operator, operand) for operator, operand in condition.items())


def _meets(value: Any, operator: str, operand: Any) -> bool:
    """An attribute that the item does not have, None here, meets `none` and `{"exists": false}` only."""
    if operator in ENDS:
        return _is_number(value) and ENDS[operator](value, operand)
    if operator == "exists":
        return operand is (value is not None)
    if operator == "contains":
        return isinstance(value, list | tuple) and operand in value
    if operator == "eq":
        return _among(value, (operand,))
    return _among(value, operand) != (operator == "none")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _among(value: Any, wanted: Any) -> bool:
    held = value if isinstance(value, list | tuple) else (value,)
    return any(one == other and isinstance(one, bool) == isinstance(other, bool) for one in held for other in wanted)
