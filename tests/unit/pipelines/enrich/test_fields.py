"""What is told of an item is bounded and the item's own; what is written of it touches nothing else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.expander import EnrichItem
from contracts.items import Item as WireItem
from pipelines.enrich.fields import WRITTEN, Enrichment, bare, described, digest, enriched, switched

MADE = Enrichment(("rivers", "hills", "towns"), "A plain account of rivers.", "fake", "enrich-1")
ITEM: dict[str, Any] = {
    "id": "a",
    "title": "T",
    "text": "t" * 30_000,
    "attributes": {"genres": ["x"] * 99 + ["y" * 500], "year": 1965, "sold": True, "cover": " blue ", "none": [" "]},
}
WORDS = st.text(min_size=1, max_size=300).filter(str.strip)
ITEMS = st.fixed_dictionaries(
    {
        "id": st.just("a"),
        "title": WORDS,
        "attributes": st.dictionaries(
            st.from_regex(r"[a-z_]{1,9}", fullmatch=True) | st.sampled_from(WRITTEN),
            st.booleans() | st.integers() | WORDS | st.lists(WORDS, max_size=99),
            max_size=60,
        ),
    },
    optional={"text": st.text(max_size=500) | st.none()},
)


def test_only_words_are_told_and_not_more_than_an_llm_reads() -> None:
    told = described(ITEM)
    assert told["attributes"] == {"cover": "blue", "genres": ["x"] * 50}
    assert len(told["text"]) == 20_000
    EnrichItem.model_validate(told)


def test_the_digest_follows_what_is_told_only() -> None:
    before = digest(described(ITEM))
    assert digest(described({**ITEM, "attributes": {**ITEM["attributes"], "year": 2026}})) == before
    assert digest(described(enriched(ITEM, MADE, embedded=True))) == before
    assert digest(described({**ITEM, "title": "U"})) != before
    assert digest(described({**ITEM, "attributes": {**ITEM["attributes"], "genres": ["z"]}})) != before


@given(ITEMS)
def test_writing_and_removing_leaves_every_other_field(item: dict[str, Any]) -> None:
    own = bare(item)
    after = enriched(item, MADE, embedded=True)
    assert bare(after) == own == bare(own)
    assert {name: value for name, value in after.items() if name != "attributes"} == {
        name: value for name, value in item.items() if name != "attributes"
    }
    assert switched(switched(after, embedded=False), embedded=True) == after
    assert enriched(after, MADE, embedded=True) == after


def test_what_was_written_is_an_item_that_the_gateway_takes() -> None:
    item = WireItem.model_validate(enriched({"id": "a", "title": "T", "attributes": {"year": 1965}}, MADE, embedded=False))
    assert item.attributes == {
        "year": 1965,
        "enriched_tags": ("rivers", "hills", "towns"),
        "enriched_description": "A plain account of rivers.",
        "enriched_by": "fake enrich-1",
        "enriched_embedded": False,
    }
