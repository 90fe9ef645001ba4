"""The catalogue on the wire: items and their attributes. Knows no service."""

from typing import Annotated

from pydantic import Field, StringConstraints

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
