import pytest

from contracts import items as wire
from retriever.backends.protocol import Patch
from retriever.errors import ItemTooLarge
from retriever.items import MAX_ATTRIBUTES, Item
from retriever.patching import patched


def attributes(count: int) -> dict[str, int]:
    return {f"a{at}": at for at in range(count)}


def test_the_limit_of_attributes_is_the_contracts() -> None:
    assert wire.Item.model_json_schema()["properties"]["attributes"]["maxProperties"] == MAX_ATTRIBUTES


def test_a_patch_that_replaces_every_attribute_may_bring_as_many_as_an_item_may_have() -> None:
    full = Item("full", "t", attributes(MAX_ATTRIBUTES))
    new = {f"b{at}": at for at in range(MAX_ATTRIBUTES)}
    assert patched(full, Patch("full", attributes=new, clear_attributes=True)).attributes == new
    with pytest.raises(ItemTooLarge, match="'full' would have 128 attributes"):
        patched(full, Patch("full", attributes=new))


def test_an_item_that_has_too_many_already_can_be_patched_as_long_as_it_gets_no_more() -> None:
    item = Item("many", "t", attributes(MAX_ATTRIBUTES + 6))
    assert patched(item, Patch("many", title="new")).title == "new"
    assert len(patched(item, Patch("many", attributes={"a0": None})).attributes) == MAX_ATTRIBUTES + 5
    with pytest.raises(ItemTooLarge, match="'many'"):
        patched(item, Patch("many", attributes={"new": 1}))
