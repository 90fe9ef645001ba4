"""Keeps at most so many hits of each value of an attribute. Knows nothing of searches."""

from collections import Counter
from collections.abc import Mapping, Sequence

from retriever.filters import And, Expression, NoneOf, Scalar, Where
from retriever.items import AttributeValue, Item
from retriever.rankfusion import Hit


class Groups:
    """The groups so far of one list. An item belongs to the group of its attribute's value, or to those of all values of a list.

    It is admitted while every one of its groups has less than `limit` items; one without the attribute has no group and is always
    admitted. Numbers group as they equal each other (1 and 1.0), never with truth values.
    """

    def __init__(self, attribute: str, limit: int) -> None:
        self.attribute, self.limit = attribute, limit
        self._sizes: Counter[tuple[bool, Scalar]] = Counter()

    def admitted(self, hits: Sequence[Hit], items: Mapping[str, Item]) -> list[Hit]:
        """Those of `hits`, best first, that have room; `items` holds the item of each."""
        return [hit for hit in hits if self._admit(items[hit.id].attributes.get(self.attribute))]

    def still_open(self, asked: Expression | None) -> Expression | None:
        """`asked`, and no value of a group that takes no further item."""
        if not (full := tuple(value for (_, value), size in self._sizes.items() if size >= self.limit)):
            return asked
        other = Where(self.attribute, NoneOf(full))
        return other if asked is None else And((asked, other))

    def _admit(self, value: AttributeValue | None) -> bool:
        values = () if value is None else set(value) if isinstance(value, tuple) else (value,)
        groups = [(isinstance(one, bool), one) for one in values]
        if any(self._sizes[group] >= self.limit for group in groups):
            return False
        self._sizes.update(groups)
        return True
