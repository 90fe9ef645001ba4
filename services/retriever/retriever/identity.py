"""What a vector space is known by. Knows nothing of its vectors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """A vector space as it is stored: `space` is its number, `created` the generation that made it."""

    space: int
    name: str
    fingerprint: str
    dimension: int
    kind: str
    created: int


@dataclass(frozen=True)
class Meta:
    """How many writes were committed, and which vector space plays the role `content` now and did before."""

    generation: int
    content: int | None
    previous: int | None
