"""Applies a merge patch to an item (RFC 7396). Knows nothing of storage."""

from dataclasses import replace

from retriever.backends.protocol import Patch
from retriever.items import Item


def patched(item: Item, patch: Patch) -> Item:
    """The item as it is after the patch."""
    attributes = {} if patch.clear_attributes else dict(item.attributes)
    for name, value in patch.attributes.items():
        if value is None:
            attributes.pop(name, None)
        else:
            attributes[name] = value
    text = None if patch.drop_text else item.text if patch.text is None else patch.text
    return replace(item, title=item.title if patch.title is None else patch.title, attributes=attributes, text=text)
