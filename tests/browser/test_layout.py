"""How the page fits its reader: a phone, a dark scheme, less motion, the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Person

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
STATE = "#interest=space+opera+with+political+intrigue&liked=7"

SMALL_TARGETS = """() => [...document.querySelectorAll('a, button, input')]
  .map(target => [target, target.getBoundingClientRect()])
  .filter(([target, box]) => box.width > 0 && target.id !== 'skip' && (box.width < 44 || box.height < 44))
  .map(([target, box]) => `${target.outerHTML.slice(0, 60)} ${box.width}x${box.height}`)"""

# WCAG 2.2, success criterion 1.4.3: contrast of every text with the nearest opaque background. Covers are decoration.
FAINT_TEXTS = """() => {
  const channel = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *:not(.cover, .cover *, script)')) {
    if (![...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim())) continue;
    const pair = [numbers(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) faint.push(`${element.className || element.tagName} ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("look", [PHONE], ids=["phone"])
def test_a_phone_needs_no_horizontal_scroll(person: Person) -> None:
    for state in ("", STATE, f"#interest={'Donaudampfschifffahrtsgesellschaft' * 6}", f"#interest={'x' * 600}"):
        person.visit(state)
        assert person.page.evaluate("document.documentElement.scrollWidth") == 360, state
    person.visit(STATE)
    person.screenshot("phone")
    person.screenshot("phone-whole", whole=True)


@pytest.mark.parametrize("look", [PHONE], ids=["phone"])
def test_everything_to_tap_is_large_enough_for_a_thumb(person: Person) -> None:
    person.visit()
    assert person.page.evaluate(SMALL_TARGETS) == []
    person.visit(STATE)
    person.add_topic("vampires")
    assert person.page.evaluate(SMALL_TARGETS) == []


@pytest.mark.parametrize(
    "look", [{"color_scheme": scheme, "reduced_motion": "reduce"} for scheme in ("light", "dark")], ids=["light", "dark"]
)
def test_every_text_stands_out_from_its_background(person: Person, look: dict[str, Any]) -> None:
    person.visit()
    assert person.page.evaluate(FAINT_TEXTS) == []
    person.visit(STATE + "&liked=no-such-book")
    person.page.locator(".notice").wait_for()
    assert person.page.evaluate(FAINT_TEXTS) == []


@pytest.mark.parametrize("look", [{"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}}], ids=["dark"])
def test_a_dark_scheme_gets_a_dark_page(person: Person) -> None:
    person.visit(STATE)
    assert person.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 19, 16)"
    person.screenshot("dark")


@pytest.mark.parametrize("look", [{"reduced_motion": "reduce"}], ids=["reduced-motion"])
def test_nothing_moves_for_those_who_asked_for_less_motion(person: Person) -> None:
    person.visit(STATE)
    assert person.page.evaluate("document.getAnimations().length") == 0


def test_the_keyboard_reaches_the_first_book_and_its_focus_is_seen(person: Person) -> None:
    person.visit(STATE)
    for _ in range(40):
        person.page.keyboard.press("Tab")
        style = person.page.evaluate(
            "(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert style == ["solid", "3px"], person.page.evaluate("document.activeElement.outerHTML")
        if person.page.evaluate("document.activeElement.matches('.card .like')"):
            return
    pytest.fail("Tab did not reach a book in 40 steps.")
