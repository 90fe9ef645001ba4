"""Decides whether an item passes a filter, for answers given without the retriever. Knows nothing of where items come from."""

from collections.abc import Mapping
from typing import Any

from gateway.candidates import Filter


def passes(item_id: str, attributes: Mapping[str, Any], conditions: Filter) -> bool:
    """Whether every condition holds; an attribute the item does not have passes `none` only."""
    return all(_holds(item_id if name == "id" else attributes.get(name), condition) for name, condition in conditions.items())


def _holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, Mapping):
        return _among(value, (condition,))
    if "any" in condition:
        return _among(value, condition["any"])
    if "none" in condition:
        return not _among(value, condition["none"])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    gte, lte = condition.get("gte"), condition.get("lte")
    return (gte is None or value >= gte) and (lte is None or value <= lte)


def _among(value: Any, wanted: Any) -> bool:
    held = value if isinstance(value, list | tuple) else (value,)
    return any(one == other and isinstance(one, bool) == isinstance(other, bool) for one in held for other in wanted)
