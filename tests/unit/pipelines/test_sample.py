"""The shipped sample."""

from pipelines import sample


def test_the_sample_holds_the_facts_it_claims() -> None:
    items = {item["id"] for item in sample.items()}
    events = [(event["user_id"], event["item_id"]) for event in sample.events()]
    assert len(items) == sample.ITEM_COUNT
    assert len(events) == len(set(events)) == sample.EVENT_COUNT
    assert {item for _, item in events} <= items


def test_no_description_is_shipped() -> None:
    assert all("text" not in item and "description" not in item["attributes"] for item in sample.items())


def test_genres_come_from_the_rarest_to_the_commonest() -> None:
    items = list(sample.items())
    carriers: dict[str, int] = {}
    for item in items:
        for genre in item["attributes"].get("genres", ()):
            carriers[genre] = carriers.get(genre, 0) + 1
    for item in items:
        counts = [carriers[genre] for genre in item["attributes"].get("genres", ())]
        assert counts == sorted(counts)
