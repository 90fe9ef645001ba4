"""A person at the web page, in real headless Chromium.

The browser lives for one module: while Playwright's synchronous API runs it owns the thread's event loop, which the asynchronous tests
of the module that happens to come next need.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Response, sync_playwright

from pipelines.suite import Suite

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Exchange:
    """One request for recommendations and its answer."""

    asked: dict[str, Any]
    answered: dict[str, Any]
    status: int


@dataclass
class Person:
    """What a person does at the page and sees there; every action waits until its books are shown."""

    page: Page
    url: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)

    def _exchange(self, act: Any) -> Exchange:
        before = list(self.requests)  # what the page asked by itself, and may be answered only now

        def is_answer(response: Response) -> bool:
            return response.url.endswith("/v1/recommendations") and response.request not in before

        with self.page.expect_response(is_answer) as caught:
            act()
        response: Response = caught.value
        asked: dict[str, Any] = response.request.post_data_json or {}
        exchange = Exchange(asked, response.json(), response.status)
        self.page.wait_for_selector("#results[aria-busy=false]")
        return exchange

    def visit(self, state: str = "") -> Exchange:
        return self._exchange(lambda: self.page.goto(self.url + state))

    def reload(self) -> Exchange:
        return self._exchange(self.page.reload)

    def go_back(self) -> Exchange:
        return self._exchange(self.page.go_back)

    def say(self, interest: str) -> Exchange:
        return self._exchange(lambda: self.page.get_by_label("What do you feel like reading?").fill(interest))

    def press(self, button: Locator) -> Exchange:
        return self._exchange(button.click)

    def press_enter(self) -> Exchange:
        return self._exchange(lambda: self.page.keyboard.press("Enter"))

    def remove_topic(self, text: str) -> Exchange:
        return self.press(self.page.get_by_role("button", name=f"Remove topic {text}", exact=True))

    def add_topic(self, text: str) -> Exchange:
        self.page.get_by_label("Add a topic").fill(text)
        return self.press_enter()

    @property
    def finder(self) -> Locator:
        return self.page.get_by_role("combobox", name="Books you liked")

    def find_book(self, words: str) -> None:
        """Types key by key and waits for the options."""
        self.finder.press_sequentially(words, delay=20)
        self.page.get_by_role("option").first.wait_for()

    def pick_first(self) -> Exchange:
        self.page.keyboard.press("ArrowDown")
        return self.press_enter()

    def texts(self, selector: str) -> list[str]:
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def shown_ids(self) -> list[str]:
        return [card.get_attribute("data-id") or "" for card in self.page.locator(".card").all()]

    def screenshot(self, name: str, *, whole: bool = False) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole, animations="disabled")


@pytest.fixture(scope="session")
def page_url(suite: Suite) -> str:
    """The address of the web page."""
    return suite.gateway_url + "/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; a missing one fails the tests, because nothing else proves the page."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("Chromium is missing. Install it first: apt-get install -y chromium", pytrace=False)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def look() -> dict[str, Any]:
    """How the browser presents itself (options of Playwright's `new_context`); a module or a parameter overrides it."""
    return {"viewport": {"width": 1280, "height": 860}}


@pytest.fixture
def browser_page(browser: Browser, look: dict[str, Any]) -> Iterator[Page]:
    """A fresh page without history or cache."""
    context = browser.new_context(**look)
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def person(browser_page: Page, page_url: str) -> Person:
    """Somebody in front of a page that is not yet open."""
    return Person(browser_page, page_url)
