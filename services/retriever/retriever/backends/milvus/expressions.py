"""The language of filters as boolean expressions of Milvus over ids, terms and numbers. Knows nothing of calls.

Exact by construction: everything but ranges and ids is whether an item's set of terms holds one of some terms. A range compares doubles
behind the term which says that there is one, so a path that is missing is never what decides.
"""

import json
import math
from collections.abc import Iterable, Sequence
from unicodedata import category

from retriever.backends.milvus.terms import LEVELS, drawn, equals, exists, finite, has_word
from retriever.errors import FilterUnsupported
from retriever.filters import ID, And, AnyOf, Condition, Contains, Exists, Expression, NoneOf, Not, Or, Range, Scalar, Where, meets

EVERY = 'id != ""'
NONE = 'id == ""'
"""No item has an empty id."""


def expression_of(wanted: Expression) -> str:
    """`""` when everything passes. Raises FilterUnsupported for an id that no expression can hold."""
    return "" if wanted == And(()) else _of(wanted)


def all_of(expressions: Iterable[str]) -> str:
    """The expressions that are not empty, joined."""
    return " and ".join(f"({expression})" for expression in expressions if expression)


def id_in(ids: Sequence[str]) -> str:
    return f"id in [{', '.join(map(_literal, ids))}]" if ids else NONE


def id_not_in(ids: Sequence[str]) -> str:
    return f"id not in [{', '.join(map(_literal, ids))}]" if ids else EVERY


def id_after(name: str) -> str:
    return f"id > {_literal(name)}"


def id_like(pattern: str) -> str:
    return f"id like {_literal(pattern)}"


def words_like(pattern: str) -> str:
    return f"words like {_literal(pattern)}"


def drawn_from(level: int) -> str:
    """One item in 2**`level`, the same ones for everybody."""
    return _has([drawn(at) for at in range(min(level, LEVELS), LEVELS + 1)])


def _of(wanted: Expression) -> str:
    match wanted:
        case And(parts):
            return " and ".join(f"({_of(part)})" for part in parts) or EVERY
        case Or(parts):
            return " or ".join(f"({_of(part)})" for part in parts) or NONE
        case Not(part):
            return f"not ({_of(part)})"
        case Where(name, condition):
            return _of_id(condition) if name == ID else _of_attribute(name, condition)


def _of_attribute(name: str, condition: Condition) -> str:
    match condition:
        case Range():
            return _range(name, condition)
        case AnyOf(values):
            return _has(_equal(name, values))
        case NoneOf(values):
            return f"not ({_has(_equal(name, values))})"
        case Contains(word):
            return _has([has_word(name, word)])
        case Exists(wanted):
            return _has([exists(name)]) if wanted else f"not ({_has([exists(name)])})"


def _of_id(condition: Condition) -> str:
    match condition:
        case AnyOf(values):
            return id_in([value for value in values if isinstance(value, str)])
        case NoneOf(values):
            return id_not_in([value for value in values if isinstance(value, str)])
        case Exists(wanted):
            return EVERY if wanted else NONE
        case Range() | Contains():
            return NONE


def _equal(name: str, values: Sequence[Scalar]) -> list[str]:
    """A word is met by the attribute that is the word and by the list that has it."""
    return [equals(name, value) for value in values] + [has_word(name, value) for value in values if isinstance(value, str)]


def _has(terms: Sequence[str]) -> str:
    if len(terms) == 1:
        return f'array_contains(terms, "{terms[0]}")'
    return f"array_contains_any(terms, {json.dumps(sorted(terms))})" if terms else NONE


def _range(name: str, ends: Range) -> str:
    """Infinities are terms, for JSON has none."""
    infinite = [equals(name, value) for value in (-math.inf, math.inf) if meets(Where(name, ends), "", {name: value})]
    path, compared, possible = f"numbers[{_literal(name)}]", [_has([finite(name)])], True
    for sign, end, never in ((">=", ends.gte, math.inf), (">", ends.gt, math.inf), ("<=", ends.lte, -math.inf), ("<", ends.lt, -math.inf)):
        if end is not None and math.isfinite(end):
            compared.append(f"{path} {sign} {end!r}")
        elif end == never or (end is not None and math.isnan(end)):
            possible = False
    finite_ones = [" and ".join(compared)] if possible else []
    return " or ".join(f"({part})" for part in [*finite_ones, *([_has(infinite)] if infinite else [])]) or NONE


def _literal(word: str) -> str:
    """As a string of Milvus' expressions, where quotes and backslashes are escaped as in JSON."""
    if any(category(letter) in ("Cc", "Cs") for letter in word):
        raise FilterUnsupported(f"{word[:200]!r} has a control character, which an expression of Milvus can not hold; ask without it.")
    return json.dumps(word, ensure_ascii=False)
