// Draws one recommendation as a card: cover, facts, relevance and reasons. Knows nothing of the list it stands in.

import { describe, few, when } from "./book.js";
import { cover } from "./cover.js";
import { element, icon } from "./element.js";

const percent = (share) => `${Math.round(share * 100)} %`;

function rating(value) {
  if (value === null) return null;
  const words = `Average rating ${value.toFixed(2)} of 5`;
  const figure = element("span", { "aria-hidden": "true" }, value.toFixed(2));
  return element("span", { class: "rating", title: words }, icon("star"), element("span", { class: "unseen" }, words), figure);
}

/** As long as the relevance, divided by the sources' shares. */
function relevanceBar(relevance, reasons) {
  const bar = element("div", { class: "bar", role: "img", "aria-label": `Relevance ${percent(relevance)} of the best book here` });
  const whole = reasons.reduce((sum, reason) => sum + reason.share, 0);
  for (const reason of reasons) {
    const part = element("span", { class: `part source-${reason.source}` });
    const share = whole > 0 ? reason.share / whole : 1 / reasons.length;
    part.style.width = `${100 * relevance * share}%`;
    bar.append(part);
  }
  return bar;
}

function reasonLine(reason) {
  const title = `The ${reason.source} source gave ${percent(reason.share)} of this book's score`;
  return element(
    "li",
    { class: `reason source-${reason.source}`, title },
    element("span", { class: "reason-text" }, reason.text),
    element("span", { class: "source" }, `${reason.source} ${percent(reason.share)}`),
  );
}

/** `like` is called with the book when its button is pressed. */
export function card(recommendation, like) {
  const book = describe(recommendation);
  return element(
    "li",
    { class: "card", "data-id": book.id },
    cover(book),
    element("div", { class: "facts" },
      element("h3", { class: "name" }, book.name),
      book.series === null ? null : element("p", { class: "series" }, book.series),
      element("p", { class: "byline" }, few(book.authors)),
      element("p", { class: "figures" }, book.year === null ? null : element("span", {}, when(book.year)), rating(book.rating)),
      relevanceBar(recommendation.relevance, recommendation.reasons),
      element("ul", { class: "reasons" }, ...recommendation.reasons.map(reasonLine)),
      element("button", { class: "like", type: "button", "aria-label": `I like this: ${book.name}`, onclick: () => like(book) },
        icon("heart"), "I like this")),
  );
}

/** What a card looks like before the first answer. */
export function skeleton() {
  const blanks = ["name", "byline", "bar", "reason", "reason"].map((part) => element("span", { class: `blank blank-${part}` }));
  const card = { class: "card skeleton", "aria-hidden": "true" };
  return element("li", card, element("div", { class: "cover" }), element("div", { class: "facts" }, ...blanks));
}
