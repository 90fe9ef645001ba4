"""Finding a liked book while it is typed, with the keyboard alone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Person

pytestmark = pytest.mark.browser


def test_a_book_picked_with_the_keyboard_leads_to_reasons_that_name_it(person: Person) -> None:
    person.visit()
    person.find_book("hobbit")
    exchange = person.pick_first()
    assert exchange.asked["liked_items"] == ["7"]
    assert person.texts(".rung") == ["Rung 2: a few liked books"]
    assert person.texts("h1") == ["Because you liked The Hobbit"]
    assert any("The Hobbit" in reason for reason in person.texts(".reason-text"))
    assert person.texts(".liked .liked-name") == ["The Hobbit"]


def test_the_arrow_keys_move_through_the_options_and_around(person: Person) -> None:
    person.visit()
    person.find_book("hobbit")
    expect(person.finder).to_have_attribute("aria-expanded", "true")
    count = person.page.get_by_role("option").count()
    assert count >= 2
    for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", count - 1), ("ArrowDown", 0)):
        person.page.keyboard.press(key)
        expect(person.finder).to_have_attribute("aria-activedescendant", f"liked-option-{place}")
        expect(person.page.get_by_role("option").nth(place)).to_have_attribute("aria-selected", "true")
        assert person.page.locator("[role=option][aria-selected=true]").count() == 1


def test_escape_closes_the_options_first_and_clears_the_words_then(person: Person) -> None:
    person.visit()
    person.find_book("hobbit")
    person.page.keyboard.press("Escape")
    expect(person.finder).to_have_attribute("aria-expanded", "false")
    assert person.page.get_by_role("option").count() == 0
    assert person.finder.input_value() == "hobbit"
    person.page.keyboard.press("Escape")
    assert person.finder.input_value() == ""


def test_a_book_is_picked_with_the_mouse(person: Person) -> None:
    person.visit()
    person.find_book("hobbit")
    assert person.press(person.page.get_by_role("option").first).asked["liked_items"] == ["7"]


def test_enter_takes_the_first_book_of_what_is_typed(person: Person) -> None:
    person.visit()
    person.find_book("hobbit")
    expect(person.page.get_by_role("option").first).to_contain_text("The Hobbit")
    assert person.press_enter().asked["liked_items"] == ["7"]


def test_typing_asks_once_for_a_burst_of_keys(person: Person) -> None:
    person.visit()
    person.find_book("hobbit")
    asked = [request.url for request in person.requests if "/v1/items?" in request.url]
    assert len(asked) <= 2
    assert "query=hobbit&" in asked[-1]


def test_a_late_answer_to_fewer_letters_is_dropped(person: Person) -> None:
    person.visit()
    held = []
    person.page.route("**/v1/items?query=drac&*", lambda route: held.append(route))
    with person.page.expect_request("**/v1/items?query=drac&*"):
        person.finder.fill("drac")
    person.finder.fill("hobbit")
    options = person.page.get_by_role("option")
    expect(options.first).to_contain_text("Hobbit")
    with suppress(Error):  # the page has let go of the held request
        held[0].continue_()
    person.page.wait_for_timeout(300)
    expect(options.first).to_contain_text("Hobbit")


def test_a_title_that_is_not_there_is_said_to_be_missing(person: Person) -> None:
    person.visit()
    person.finder.fill("qqqzzzxxx")
    expect(person.page.locator("#liked-note")).to_have_text("No book here is called “qqqzzzxxx”.")
