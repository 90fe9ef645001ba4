"""What must never happen at the page: a request elsewhere, markup out of text, an error without words."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Person

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def use_everything(person: Person) -> None:
    person.visit()
    topics = person.say("space opera with political intrigue").answered["topics"]
    person.remove_topic(topics[0]["text"])
    person.add_topic("vampires")
    person.find_book("hobbit")
    person.pick_first()
    person.press(person.page.get_by_role("button", name="I like this").first)
    person.reload()


def test_no_request_leaves_the_origin(person: Person) -> None:
    use_everything(person)
    assert len(person.requests) > 20
    assert {urlsplit(request.url).netloc for request in person.requests} == {urlsplit(person.url).netloc}


def test_the_console_stays_silent(person: Person) -> None:
    use_everything(person)
    assert person.complaints == []


def test_a_script_like_interest_is_only_text(person: Person) -> None:
    person.visit()
    person.say(MARKUP)
    person.add_topic(MARKUP)
    person.page.wait_for_timeout(200)
    assert MARKUP[:40] in person.texts("h1")[0]
    assert person.texts(".chip-text")[-1] == MARKUP
    assert person.page.locator("main img, main script").count() == 0
    assert person.page.title().startswith("Warmstart")
    assert not any(request.url.endswith("/x") for request in person.requests)


def test_a_script_like_address_is_only_text(person: Person) -> None:
    exchange = person.visit("#interest=%3Cimg%20src%3Dx%3E&topic=%3Cb%3Ebold%3C%2Fb%3E&by=%3Ci%3E")
    assert exchange.asked["topics"] == ["<b>bold</b>"]
    assert person.texts(".chip-text") == ["<b>bold</b>"]
    assert person.page.locator("main img, main b, main i").count() == 0


def test_the_policy_of_the_page_forbids_inline_scripts(person: Person) -> None:
    person.visit()
    person.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))")
    assert person.page.title().startswith("Warmstart")
    assert any("Content Security Policy" in complaint for complaint in person.complaints)


def test_a_refusal_is_shown_in_the_gateway_s_own_words(person: Person) -> None:
    person.visit()
    exchange = person.say("x" * 600)
    assert exchange.status == 422
    alert = person.page.get_by_role("alert")
    expect(alert).to_contain_text(exchange.answered["detail"])
    expect(alert).to_contain_text(exchange.answered["request_id"])
    assert person.shown_ids() == []
    person.say("dragons")
    expect(alert).to_have_count(0)
    assert len(person.shown_ids()) == 18


def test_a_gateway_that_is_gone_is_named_and_can_be_asked_again(person: Person) -> None:
    person.visit()
    person.page.route("**/v1/recommendations", lambda route: route.abort())
    person.page.get_by_label("What do you feel like reading?").fill("dragons")
    expect(person.page.get_by_role("alert")).to_contain_text("The gateway can not be reached")
    person.page.unroute("**/v1/recommendations")
    assert person.press(person.page.get_by_role("button", name="Try again")).asked["interests"] == ["dragons"]
    assert len(person.shown_ids()) == 18


def test_a_book_of_the_address_that_does_not_exist_is_named(person: Person) -> None:
    person.visit("#liked=no-such-book&liked=7")
    expect(person.page.locator(".notice")).to_contain_text("no-such-book")
    assert person.texts(".liked .caption")[0] == "Not in this catalogue"
    assert person.texts("h1") == ["Because you liked The Hobbit"]
    assert person.texts(".rung") == ["Rung 2: a few liked books"]


def test_a_substitute_is_named_in_plain_words(person: Person) -> None:
    person.visit()
    note = {"stage": "expander", "reason": "no answer within 600 ms", "substitute": "co-occurrence topics"}

    def answer_degraded(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "degraded": [note]})

    person.page.route("**/v1/recommendations", answer_degraded)
    person.say("dragons")
    notice = person.page.locator(".notice")
    expect(notice).to_have_text("Topic suggestions: working with a substituteWhy: no answer within 600 ms. Instead: co-occurrence topics.")
    assert len(person.shown_ids()) == 18


def test_the_api_page_lists_every_operation_and_asks_no_other_host(person: Person) -> None:
    person.page.goto(person.url + "docs")
    expect(person.page.locator(".opblock").first).to_be_visible()
    description = person.page.request.get(person.url + "openapi.json").json()
    assert person.page.locator(".opblock").count() == sum(len(path) for path in description["paths"].values())
    assert {urlsplit(request.url).netloc for request in person.requests} == {urlsplit(person.url).netloc}
