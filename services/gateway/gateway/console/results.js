// Shows an answer, the wait for one, or why there is none. Knows nothing of how the answer was asked for.

import { card, skeleton } from "./card.js";
import { byId, element } from "./element.js";
import { degradedWords, rungWords } from "./rung.js";
import { timingsBar } from "./timings.js";

const notice = (kind, title, text) => element("div", { class: `notice ${kind}` }, element("strong", {}, title), element("p", {}, text));

function notices({ degraded, unknown_items: unknown }) {
  const found = degraded.map(degradedWords).map(({ title, text }) => notice("degraded", title, text));
  const lost = `Not in this catalogue, so left out of the answer: ${unknown.join(", ")}.`;
  return unknown.length > 0 ? [...found, notice("unknown", "Some liked books are unknown here", lost)] : found;
}

function nothingFits() {
  const text = "Nothing in the catalogue fits all of this. Take a topic away, or say it in other words.";
  return element("div", { class: "panel empty" }, element("h2", {}, "No books found"), element("p", {}, text));
}

/** What went wrong, for a person; the problem's own words follow. */
function failureWords({ status }) {
  if (status === 0) return "The gateway does not answer";
  if (status === 429 || status === 503) return "Too much to do at the moment";
  return status < 500 ? "This could not be searched" : "Something is out of order";
}

function refusal(error, retry) {
  const source = [`${error.status || ""} ${error.title}`.trim(), error.requestId && `request ${error.requestId}`];
  const id = element("p", { class: "caption" }, source.filter(Boolean).join(", "));
  const mayPass = error.status === 0 || error.status === 429 || error.status >= 500;
  const again = mayPass ? element("button", { class: "plain", type: "button", onclick: retry }, "Try again") : null;
  const words = [element("h2", {}, failureWords(error)), element("p", { class: "detail" }, error.message)];
  return element("div", { class: "panel problem", role: "alert" }, ...words, again, id);
}

/** Placeholders before the first answer; later the old books stay until the new ones are there. */
export function showWaiting(isWaiting) {
  const results = byId("results");
  results.classList.toggle("waiting", isWaiting);
  results.setAttribute("aria-busy", String(isWaiting));
  if (isWaiting && !byId("cards").hasChildNodes() && !byId("message").hasChildNodes()) {
    byId("cards").replaceChildren(...Array.from({ length: 6 }, skeleton));
  }
}

/** `title` heads the books, `made` says who proposed the topics (or null). */
export function showAnswer(answer, { title, made, like }) {
  byId("results").classList.remove("failed");
  const hadFocus = byId("cards").contains(document.activeElement);
  byId("answer-title").textContent = title;
  const spoke = made === null ? null : element("span", { class: "spoke" }, made);
  const words = element("p", { class: "made-words" }, element("span", { class: "rung" }, rungWords(answer.rung)), spoke);
  byId("made").replaceChildren(words, timingsBar(answer.timings_ms));
  byId("notices").replaceChildren(...notices(answer));
  byId("cards").replaceChildren(...answer.items.map((item) => card(item, like)));
  byId("message").replaceChildren(...(answer.items.length === 0 ? [nothingFits()] : []));
  // The card whose button was pressed is gone; keep the keyboard where it was working.
  if (hadFocus) byId("results").focus({ preventScroll: true });
  byId("announcement").textContent = `${title}: ${answer.items.length} books.`;
}

export function showProblem(error, retry) {
  byId("results").classList.add("failed");
  for (const id of ["made", "notices", "cards"]) byId(id).replaceChildren();
  byId("answer-title").textContent = "No answer this time";
  byId("message").replaceChildren(refusal(error, retry));
}
