"""The filter language on the wire: what may be said, checked, and described. Knows no service and no item.

A filter is an object of conditions that must all hold, by attribute name; `id` means the item's id. A condition is a value that the
attribute equals, or an object of operators. `and` and `or` take lists of filters, `not` takes one.

What was a condition before there was `not` still is one: `{"not": {"gte": 1}}` asks for an attribute called "not", as do `and` and `or`
with anything but a list.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, TypeAdapter, ValidationError, ValidationInfo, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from contracts.wire import Text

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
ENDS, LISTS = ("gt", "gte", "lt", "lte"), ("in", "any", "none")
OPERATORS = ("eq", *LISTS, *ENDS, "contains", "exists")
ALWAYS_CONDITIONS = frozenset({"gte", "lte", "any", "none"})
MOST_NAMES, MOST_VALUES, MOST_PARTS, MOST_CONDITIONS, MOST_LEVELS = 16, 1_000, 64, 64, 8
MOST_BITS = 14_000
"""Of an integer; Python writes none with over 4,300 digits."""
MOST_FAULTS = 20
WORD: TypeAdapter[str] = TypeAdapter(Text)

Place = tuple[str | int, ...]


class _Check:
    """Reads one filter; what is wrong with it is in `faults` then."""

    def __init__(self, pointer: Place) -> None:
        self._above = pointer
        self._conditions = 0
        self.faults: list[InitErrorDetails] = []

    def _fault(self, at: Place, value: Any, reason: str) -> None:
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in (*self._above, *at))
        said = {"reason": f"{pointer}: {reason}" if pointer else reason}
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(InitErrorDetails(type=PydanticCustomError("filter", "{reason}", said), loc=at, input=value))

    def filter(self, at: Place, sent: Any, level: int) -> dict[str, Any]:
        """The filter with its words in one line and without open ends."""
        if not isinstance(sent, Mapping):
            self._fault(at, sent, f'{shown(sent)} is not a filter; send an object such as {{"genre": "fantasy"}}')
        elif level > MOST_LEVELS:
            self._fault(at, sent, f"is nested deeper than {MOST_LEVELS} levels; say it with fewer")
        elif not sent and level > 1:
            self._fault(at, sent, "says nothing; give at least one condition or leave it out")
        elif len(sent) > MOST_NAMES:
            self._fault(at, sent, f"has {len(sent)} names, and {MOST_NAMES} are the most; put further ones into an `and`")
        else:
            return {name: self._named((*at, str(name)), str(name), value, level) for name, value in sent.items()}
        return {}

    def _named(self, at: Place, name: str, sent: Any, level: int) -> Any:
        if name in ("and", "or") and isinstance(sent, list | tuple):
            if not 1 <= len(sent) <= MOST_PARTS:
                self._fault(at, sent, f"has {len(sent)} filters; give 1 to {MOST_PARTS}")
                return []
            return [self.filter((*at, place), part, level + 1) for place, part in enumerate(sent)]
        if name == "not" and isinstance(sent, Mapping) and not (sent and sent.keys() <= ALWAYS_CONDITIONS):
            return self.filter(at, sent, level + 1)
        if not NAME.fullmatch(name):
            remedy = "begin it with a letter or _ and go on with at most 63 letters, digits and _"
            self._fault(at, sent, f"{shown(name)} can not be the name of an attribute; {remedy}")
            return None
        self._conditions += 1
        if self._conditions == MOST_CONDITIONS + 1:
            self._fault(
                at, sent, f"is the condition after the first {MOST_CONDITIONS}, which are the most; say it with fewer, such as `in`"
            )
        return self._condition(at, sent)

    def _condition(self, at: Place, sent: Any) -> Any:
        if not isinstance(sent, Mapping):
            return self._scalar(at, sent)
        if not any(value is not None or name not in ENDS for name, value in sent.items()):
            self._fault(at, sent, f"says nothing; give at least one of {', '.join(OPERATORS)}")
        kept = {str(name): value for name, value in sent.items() if value is not None or name not in ENDS}
        return {name: self._operand((*at, name), name, value) for name, value in kept.items()}

    def _operand(self, at: Place, operator: str, sent: Any) -> Any:
        if operator in ENDS:
            return self._number(at, sent)
        if operator in LISTS:
            return self._values(at, sent)
        if operator == "eq":
            return self._scalar(at, sent)
        if operator == "contains":
            if not isinstance(sent, str):
                self._fault(at, sent, f"{shown(sent)} is not a word; send the word that the list must contain")
                return None
            return self._scalar(at, sent)
        if operator == "exists":
            if not isinstance(sent, bool):
                self._fault(at, sent, f"{shown(sent)} is neither true nor false; send one of them")
            return sent
        self._fault(at, sent, f"{shown(operator)} is not known here; use one of {', '.join(OPERATORS)}")
        return None

    def _values(self, at: Place, sent: Any) -> list[Any]:
        if not isinstance(sent, list | tuple):
            self._fault(at, sent, f"{shown(sent)} is not a list; send the values in [ ]")
            return []
        if not 1 <= len(sent) <= MOST_VALUES:
            self._fault(at, sent, f"has {len(sent)} values; give 1 to {MOST_VALUES}")
            return []
        return [self._scalar((*at, place), value) for place, value in enumerate(sent)]

    def _scalar(self, at: Place, sent: Any) -> Any:
        if isinstance(sent, str):
            try:
                return WORD.validate_python(sent)
            except ValidationError as error:
                self._fault(at, sent, f"{shown(sent)} {error.errors()[0]['msg'].removeprefix('Value error, ')}")
        elif isinstance(sent, int | float):
            self._check_size(at, sent)
        else:
            self._fault(at, sent, f"{shown(sent)} is no value to compare with; send a word, a number, true or false")
        return sent

    def _number(self, at: Place, sent: Any) -> Any:
        if isinstance(sent, str):  # taken since the first version, though the description says number
            try:
                sent = float(sent)
            except ValueError:
                self._fault(at, sent, f"{shown(sent)} is not a number; send a number")
                return None
        if not isinstance(sent, int | float):
            self._fault(at, sent, f"{shown(sent)} is not a number; send a number")
            return None
        self._check_size(at, sent)
        return float(sent) if isinstance(sent, bool) else sent

    def _check_size(self, at: Place, sent: float) -> None:
        if isinstance(sent, int) and sent.bit_length() > MOST_BITS:
            self._fault(at, None, f"is an integer of {sent.bit_length()} bits, and {MOST_BITS} are the most; send a shorter one")
        elif isinstance(sent, float) and not math.isfinite(sent):
            self._fault(at, sent, f"{sent} is not finite; send a number that is")


def shown(value: Any) -> str:
    """A value in a few characters, such that UTF-8 can carry it."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value) if value is None or not isinstance(value, bool) else str(value).lower()
    text = "null" if value is None else text
    return (text if len(text) <= 60 else f"{text[:59]}…").encode("utf-8", "backslashreplace").decode()


def checked(sent: Any, info: ValidationInfo) -> dict[str, Any]:
    """The filter as plain JSON values; raises ValidationError with one fault for each wrong part, its JSON pointer and the remedy."""
    check = _Check((info.field_name,) if info.field_name else ())
    kept = check.filter((), sent, 1)
    if check.faults:
        raise ValidationError.from_exception_data("Filter", check.faults)
    return kept


VALUE: dict[str, Any] = {"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string", "minLength": 1, "maxLength": 500}]}
VALUES = {"type": "array", "items": VALUE, "minItems": 1, "maxItems": MOST_VALUES}


def _end(description: str) -> dict[str, Any]:
    return {"anyOf": [{"type": "number"}, {"type": "null"}], "description": description}


CONDITION: dict[str, Any] = {
    "anyOf": [
        *VALUE["anyOf"],
        {
            "type": "object",
            "title": "Condition",
            "description": "Operators that must all hold. A value alone means `eq`.",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "eq": {**VALUE, "description": "The attribute equals this, or its list contains it."},
                "in": {**VALUES, "description": "It equals, or its list contains, one of these."},
                "any": {**VALUES, "description": "The same as `in`."},
                "none": {
                    **VALUES,
                    "description": "It neither equals nor contains any of these; also holds where the attribute is missing.",
                },
                "gt": _end("It is a number above this."),
                "gte": _end("It is a number from this on; null leaves the end open."),
                "lt": _end("It is a number below this."),
                "lte": _end("It is a number up to this; null leaves the end open."),
                "contains": {"type": "string", "minLength": 1, "maxLength": 500, "description": "It is a list with this word."},
                "exists": {"type": "boolean", "description": "Whether the item has the attribute."},
            },
        },
    ]
}


def _schema(nested: dict[str, Any]) -> dict[str, Any]:
    several = {"type": "array", "items": nested, "minItems": 1, "maxItems": MOST_PARTS}
    return {
        "type": "object",
        "title": "Filter",
        "maxProperties": MOST_NAMES,
        "additionalProperties": False,
        "properties": {
            "and": {**several, "description": "All of these filters hold."},
            "or": {**several, "description": "At least one of these filters holds."},
            "not": {**nested, "description": "This filter does not hold."},
        },
        "patternProperties": {f"^(?!(?:and|or|not)$){NAME.pattern}$": CONDITION},
    }


DEEPER = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MOST_NAMES,
    "description": f"A filter again, {MOST_LEVELS} levels at most.",
}
DESCRIPTION = (
    "Conditions by attribute name; all must hold. A value alone means equals (or: the list contains it), and `id` filters by item id. "
    f"At most {MOST_CONDITIONS} conditions in {MOST_LEVELS} levels."
)
SCHEMA = {**_schema({**_schema(DEEPER), "minProperties": 1}), "description": DESCRIPTION}

Filter = Annotated[dict[str, Any], PlainValidator(checked, json_schema_input_type=Any), WithJsonSchema(SCHEMA)]
"""A checked filter as plain JSON values: words are in one line, ends that were null are left out, all else is as it was sent."""
