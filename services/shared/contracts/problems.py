"""Problem details (RFC 9457), the body of every error. Knows no particular error."""

from pydantic import BaseModel, ConfigDict, Field


class Violation(BaseModel):
    """One field that was refused."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description="Where the value stands in the request, as a JSON path.")
    reason: str = Field(description="What is wrong with it and what would be right.")
    value: str | None = Field(default=None, description="The value as received, shortened.")


class Problem(BaseModel):
    """`application/problem+json` (RFC 9457, section 3) with two extension members."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="The slug of the error class, for example `/problems/item-unknown`.")
    title: str
    status: int
    detail: str = Field(description="What went wrong here, with the value and the remedy.")
    instance: str | None = Field(default=None, description="The path that was asked.")
    request_id: str | None = None
    violations: tuple[Violation, ...] = ()
