"""One item as an LLM is told of it. Knows nothing of LLMs."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Described:
    """What is known of an item: free text, and words about it by the name of their attribute (`authors`, `genres`, ...)."""

    id: str
    title: str
    text: str | None = None
    attributes: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)

    def words(self, name: str) -> tuple[str, ...]:
        """The words of one attribute; none where the item does not have it."""
        value = self.attributes.get(name, ())
        return (value,) if isinstance(value, str) else tuple(value)
