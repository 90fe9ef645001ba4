"""Applies a merge patch to an item (RFC 7396). Knows nothing of storage."""

from dataclasses import replace

from retriever.backends.protocol import Patch
from retriever.errors import ItemTooLarge
from retriever.items import MAX_ATTRIBUTES, Item


def patched(item: Item, patch: Patch) -> Item:
    """The item as it is after the patch. Raises ItemTooLarge when that gives it more than MAX_ATTRIBUTES attributes."""
    attributes = {} if patch.clear_attributes else dict(item.attributes)
    for name, value in patch.attributes.items():
        if value is None:
            attributes.pop(name, None)
        else:
            attributes[name] = value
    if len(attributes) > max(MAX_ATTRIBUTES, len(item.attributes)):  # one that has more already may still be patched
        raise ItemTooLarge(
            f"Item {item.id[:200]!r} would have {len(attributes)} attributes after the patch, more than {MAX_ATTRIBUTES}; "
            "remove some by sending null for them. Nothing of this request was stored."
        )
    text = None if patch.drop_text else item.text if patch.text is None else patch.text
    return replace(item, title=item.title if patch.title is None else patch.title, attributes=attributes, text=text)
