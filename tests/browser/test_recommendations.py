"""The main job at the page: say something or pick a book, see books with reasons, change the topics."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error, Route

if TYPE_CHECKING:
    from tests.browser.conftest import Person

pytestmark = pytest.mark.browser

INTEREST = "space opera with political intrigue"
HOBBIT = "7"


def test_the_first_visit_shows_popular_books(person: Person) -> None:
    exchange = person.visit()
    assert exchange.answered["rung"] == 0
    assert person.texts("h1") == ["Popular with readers"]
    assert person.texts(".rung") == ["Rung 0: nothing known yet"]
    assert len(person.shown_ids()) == 18
    assert person.page.get_by_text("6,219 books").is_visible()


def test_a_person_types_an_interest_and_sees_books_with_reasons(person: Person) -> None:
    popular = person.visit().answered
    answer = person.say(INTEREST).answered
    assert person.texts(".rung") == ["Rung 1: stated interest"]
    assert person.shown_ids() == [item["id"] for item in answer["items"]] != [item["id"] for item in popular["items"]]
    assert person.page.locator(".card .name").first.is_visible()
    for card in person.page.locator(".card").all():
        assert card.locator(".reason-text").count() >= 1
    person.screenshot("desktop")


def test_each_topic_says_who_proposed_it(person: Person) -> None:
    person.visit()
    topics = person.say(INTEREST).answered["topics"]
    assert 3 <= len(topics) <= 5
    assert person.texts(".chip-text") == [topic["text"] for topic in topics]
    assert set(person.texts(".chip .caption")) == {"proposed by catalogue co-occurrence"}
    assert person.texts(".spoke") == ["Topics by catalogue co-occurrence"]


def test_the_time_of_every_stage_is_shown(person: Person) -> None:
    person.visit()
    timings = person.say(INTEREST).answered["timings_ms"]
    legend = person.texts(".legend li")
    assert legend[-1].endswith("ms in all")
    assert len(legend) >= len(timings)
    assert person.page.locator(".timing-bar .part").count() == len(legend) - 1
    boxes = [part.bounding_box() for part in person.page.locator(".timing-bar .part").all()]
    assert all(box and box["width"] >= 1 for box in boxes)


def test_removing_a_topic_searches_without_it(person: Person) -> None:
    person.visit()
    before = person.say(INTEREST)
    first, *others = [topic["text"] for topic in before.answered["topics"]]
    assert "topics" not in before.asked
    after = person.remove_topic(first)
    assert after.asked["topics"] == others
    assert person.texts(".chip-text") == others
    assert set(person.texts(".chip .caption")) == {"proposed by catalogue co-occurrence"}, "who proposed a topic is not forgotten"
    assert person.shown_ids() == [item["id"] for item in after.answered["items"]]


def test_adding_a_topic_searches_for_it_too(person: Person) -> None:
    person.visit()
    before = person.say(INTEREST)
    shown = person.shown_ids()
    after = person.add_topic("vampires")
    assert after.asked["topics"] == [*(topic["text"] for topic in before.answered["topics"]), "vampires"]
    assert person.texts(".chip .caption")[-1] == "proposed by you"
    assert person.texts(".spoke") == ["Topics chosen by you"]
    assert person.shown_ids() == [item["id"] for item in after.answered["items"]] != shown


def test_a_topic_alone_finds_books_for_it(person: Person) -> None:
    person.visit()
    assert person.add_topic("vampires").asked["topics"] == ["vampires"]
    assert person.texts("h1") == ["About vampires"]
    assert sum("vampires" in reason for reason in person.texts(".reason-text")) >= 9


def test_a_removed_topic_takes_its_books_with_it(person: Person) -> None:
    person.visit()
    person.add_topic("vampires")
    person.add_topic("gardening")
    person.remove_topic("vampires")
    assert person.texts(".chip-text") == ["gardening"]
    assert not any("vampires" in reason for reason in person.texts(".reason-text"))


def test_a_new_interest_asks_the_expander_again(person: Person) -> None:
    person.visit()
    person.say(INTEREST)
    person.add_topic("vampires")
    exchange = person.say("a cosy mystery in a small village")
    assert "topics" not in exchange.asked
    assert person.texts(".chip-text") == [topic["text"] for topic in exchange.answered["topics"]]


def test_the_expander_can_be_asked_again_for_the_same_interest(person: Person) -> None:
    person.visit()
    proposed = [topic["text"] for topic in person.say(INTEREST).answered["topics"]]
    person.remove_topic(proposed[0])
    person.press(person.page.get_by_role("button", name="Suggest again"))
    assert person.texts(".chip-text") == proposed


def test_several_wishes_are_several_interests(person: Person) -> None:
    person.visit()
    assert person.say("dragons ; cosy mysteries;").asked["interests"] == ["dragons", "cosy mysteries"]


def test_enter_does_not_wait_for_a_pause_in_the_typing(person: Person) -> None:
    person.visit()
    person.page.clock.install()  # from here on no timer of the page ever ends
    person.page.get_by_label("What do you feel like reading?").fill(INTEREST)
    assert person.press_enter().asked["interests"] == [INTEREST]


def test_what_is_typed_later_wins_over_a_slow_earlier_answer(person: Person) -> None:
    popular = person.visit().answered
    held: list[Route] = []
    person.page.route("**/v1/recommendations", lambda route: held.append(route) if not held else route.continue_())
    field = person.page.get_by_label("What do you feel like reading?")
    with person.page.expect_request("**/v1/recommendations"):
        field.fill("dragons")
    later = person.say("cosy mysteries")
    with suppress(Error):  # the page has let go of the held request
        held[0].fulfill(json=popular)
    person.page.wait_for_timeout(300)
    assert person.shown_ids() == [item["id"] for item in later.answered["items"]]
    assert person.texts("h1") == ["For “cosy mysteries”"]


def test_liking_a_recommended_book_leads_to_the_next_rung(person: Person) -> None:
    person.visit()
    name = person.texts(".card .name")[0]
    liked = person.shown_ids()[0]
    exchange = person.press(person.page.get_by_role("button", name=f"I like this: {name}", exact=True))
    assert exchange.asked["liked_items"] == [liked]
    assert person.texts(".rung") == ["Rung 2: a few liked books"]
    assert liked not in person.shown_ids()
    assert person.texts(".liked .liked-name") == [name]


def test_a_liked_book_can_be_taken_back(person: Person) -> None:
    popular = person.visit().answered
    person.visit(f"#liked={HOBBIT}")
    exchange = person.press(person.page.get_by_role("button", name="Remove The Hobbit from your liked books"))
    assert exchange.asked["liked_items"] == []
    assert person.shown_ids() == [item["id"] for item in popular["items"]]


def test_the_address_keeps_everything_over_a_reload(person: Person) -> None:
    person.visit()
    proposed = [topic["text"] for topic in person.say(INTEREST).answered["topics"]]
    person.find_book("hobbit")
    person.pick_first()
    person.remove_topic(proposed[0])
    person.add_topic("vampires; & = # ü")
    before = (person.texts(".chip"), person.texts(".liked"), person.texts("h1"), person.shown_ids())
    person.reload()
    assert person.page.get_by_label("What do you feel like reading?").input_value() == INTEREST
    assert (person.texts(".chip"), person.texts(".liked"), person.texts("h1"), person.shown_ids()) == before
    person.screenshot("desktop-liked")


def test_the_back_button_takes_one_step_back(person: Person) -> None:
    person.visit()
    person.say(INTEREST)
    proposed = person.texts(".chip-text")
    person.remove_topic(proposed[0])
    assert person.go_back().asked["interests"] == [INTEREST]
    assert person.texts(".chip-text") == proposed
    assert person.go_back().answered["rung"] == 0
    assert person.page.get_by_label("What do you feel like reading?").input_value() == ""
