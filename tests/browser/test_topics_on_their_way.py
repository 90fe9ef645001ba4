"""What the page does while an LLM is asked behind an answer, and that half a sentence is not worth asking it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Route

if TYPE_CHECKING:
    from tests.browser.conftest import Person

pytestmark = pytest.mark.browser

INTEREST = "space opera with political intrigue"
THOUGHT_OF = {"text": "galactic senates", "interest": INTEREST, "source": "llm", "model": "slow"}


def later(route: Route, seen: list[dict[str, Any]]) -> None:
    """The answer as an LLM behind it changes it: its topic comes with the second request that asks for it."""
    asked = json.loads(route.request.post_data or "{}")
    answer = route.fetch()
    body = answer.json()
    if asked["interests"] and asked["expansion"] == "async":
        seen.append(asked)
        body |= {"topics_pending": len(seen) < 2, "topics": [THOUGHT_OF] if len(seen) >= 2 else body["topics"]}
    route.fulfill(response=answer, json=body)


def test_what_is_still_being_typed_is_not_sent_to_an_llm_and_what_stands_is(person: Person) -> None:
    person.visit()
    assert person.say(INTEREST).asked["expansion"] == "off"
    with person.page.expect_response(lambda response: response.url.endswith("/v1/recommendations")) as settled:
        pass
    assert (settled.value.request.post_data_json or {})["expansion"] == "async"
    assert person.say("cosy mysteries").asked["expansion"] == "off"
    assert person.press_enter().asked["expansion"] == "async"


def test_topics_of_an_llm_come_to_the_page_by_themselves_and_are_asked_for_no_longer(person: Person) -> None:
    seen: list[dict[str, Any]] = []
    person.visit()
    person.page.route("**/v1/recommendations", lambda route: later(route, seen))
    person.say(INTEREST)
    assert person.press_enter().answered["topics_pending"]
    assert person.page.get_by_text("while an LLM thinks of others").is_visible()
    person.page.get_by_text(THOUGHT_OF["text"], exact=True).wait_for()
    assert person.texts("#topics-hint") == ["Searched along with your words. Take one away or add your own."]
    person.page.wait_for_timeout(2_000)
    assert len(seen) == 2
    assert person.complaints == []
