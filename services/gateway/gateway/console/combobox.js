// Finds a book while it is typed: the combobox pattern of WAI-ARIA APG (list autocomplete, manual selection).
// Knows nothing of what is done with the book that was picked.

import { findItems } from "./api.js";
import { byline, describe } from "./book.js";
import { cover } from "./cover.js";
import { byId, element } from "./element.js";

const DEBOUNCE_MS = 120;
const OPTIONS = 7;

export class Combobox {
  #input = byId("liked");
  #popup = byId("liked-popup");
  #list = byId("liked-options");
  #note = byId("liked-note");
  #books = [];
  #active = -1;
  #asked = "";
  #timer = 0;
  #inFlight = null;
  #pick;

  /** `pick` is called with the chosen book. */
  constructor(pick) {
    this.#pick = pick;
    this.#input.addEventListener("input", () => this.#search());
    this.#input.addEventListener("keydown", (event) => this.#steer(event));
    this.#input.addEventListener("blur", () => this.#close());
    // Without this the input would lose focus, and the list close, before the click arrives.
    this.#popup.addEventListener("mousedown", (event) => event.preventDefault());
  }

  #search() {
    clearTimeout(this.#timer);
    this.#inFlight?.abort();
    this.#asked = "";
    const query = this.#input.value.trim();
    if (query === "") this.#close();
    else this.#timer = setTimeout(() => this.#ask(query), DEBOUNCE_MS);
  }

  async #ask(query) {
    this.#inFlight = new AbortController();
    const { signal } = this.#inFlight;
    try {
      const items = await findItems(query, OPTIONS, signal);
      if (signal.aborted) return;
      this.#asked = query;
      this.#show(items.map(describe), items.length === 0 ? `No book here is called “${query}”.` : "");
    } catch (error) {
      if (error.name !== "AbortError") this.#show([], error.message);
    }
  }

  #show(books, note) {
    this.#books = books;
    this.#list.replaceChildren(...books.map((book, place) => this.#option(book, place)));
    this.#note.textContent = note;
    this.#popup.hidden = false;
    this.#input.setAttribute("aria-expanded", String(books.length > 0));
    this.#mark(-1);
    const count = books.length === 1 ? "1 book found" : `${books.length} books found`;
    byId("announcement").textContent = note || `${count}, use the arrow keys to choose.`;
  }

  #option(book, place) {
    return element(
      "li",
      { id: `liked-option-${place}`, class: "option", role: "option", "aria-selected": "false", onclick: () => this.#choose(place) },
      cover(book, { small: true }),
      element("span", { class: "liked-words" },
        element("span", { class: "liked-name" }, book.title),
        element("span", { class: "caption" }, byline(book))),
    );
  }

  #mark(place) {
    this.#active = place;
    [...this.#list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === place)));
    const option = this.#list.children[place];
    if (!option) return this.#input.removeAttribute("aria-activedescendant");
    this.#input.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }

  #steer(event) {
    const count = this.#popup.hidden ? 0 : this.#books.length;
    const moves = { ArrowDown: (this.#active + 1) % count, ArrowUp: (Math.max(this.#active, 0) + count - 1) % count };
    if (event.isComposing) return;
    if (event.key in moves && count > 0) this.#mark(moves[event.key]);
    else if (event.key === "Enter" && count > 0) this.#choose(this.#active);
    else if (event.key === "Escape") this.#escape();
    else return;
    event.preventDefault();
  }

  #choose(place) {
    // Enter without a marked option takes the first, but only while the list belongs to what is typed now.
    const isFresh = this.#asked !== "" && this.#asked === this.#input.value.trim();
    const book = this.#books[place] ?? (isFresh ? this.#books[0] : undefined);
    if (!book) return;
    this.#input.value = "";
    this.#close();
    this.#pick(book);
  }

  #escape() {
    if (this.#popup.hidden) this.#input.value = "";
    this.#close();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#inFlight?.abort();
    this.#popup.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#mark(-1);
  }
}
