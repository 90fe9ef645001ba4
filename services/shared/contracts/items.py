"""The catalogue on the wire: items, their attributes, and filters over them. Knows no service."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.wire import Id, LongText, Text, Wire

AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Scalar = bool | int | float | Text
AttributeValue = Scalar | Annotated[tuple[Text, ...], Field(max_length=100)]


class Item(Wire):
    """One entry of the catalogue."""

    id: Id
    title: Text
    attributes: Annotated[dict[AttributeName, AttributeValue], Field(max_length=64)] = Field(
        default_factory=dict, description="Display and filter attributes: a scalar, or a list of words such as genres."
    )
    text: LongText | None = Field(default=None, description="Free text such as a description; embedded, never shown.")


class Range(Wire):
    """Numbers from `gte` up to `lte`, either end open when left out."""

    gte: float | None = None
    lte: float | None = None

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.gte is None and self.lte is None:
            raise ValueError("has neither gte nor lte; give at least one")
        return self


class AnyOf(Wire):
    """The attribute equals, or its list contains, one of these."""

    any: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)]


class NoneOf(Wire):
    """The attribute neither equals nor contains any of these."""

    none: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)]


Condition = Range | AnyOf | NoneOf | Scalar
Filter = Annotated[dict[AttributeName, Condition], Field(max_length=16)]
"""Attribute name -> condition; all must hold. A bare scalar means equals (or: the list contains it). `id` filters by item id."""
