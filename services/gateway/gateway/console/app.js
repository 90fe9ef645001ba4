// Joins the page: what was entered leads to one request, its answer to what is shown. Knows no element's inside.

import { recommend } from "./api.js";
import * as address from "./address.js";
import { Combobox } from "./combobox.js";
import { byId, element } from "./element.js";
import { nameOf, remember, showLikes } from "./likes.js";
import { showAnswer, showProblem, showWaiting } from "./results.js";
import { headline, topicsWords } from "./rung.js";
import { showStatus } from "./status.js";
import { Topics } from "./topics.js";

const DEBOUNCE_MS = 350;
const BOOKS = 18;
// A person at the page waits longer than a product's front end would, so that an LLM can speak.
const DEADLINE_MS = 3000;
// A text that is still being typed is not worth an LLM's call; one that has stood for so long is.
const SETTLED_MS = 1200;
// While an LLM is asked behind an answer, its topics are looked for so often.
const PENDING_MS = 1500;
const PENDING_LOOKS = 12;
const EXAMPLES = ["space opera with political intrigue", "a cosy mystery in a small village", "grim fantasy with clever thieves"];

let state = address.read(location.hash);
let proposed = [];
let timer = 0;
let inFlight = null;
let lastWasTyped = false;
let shown = "";
let pending = false;

const interests = () => state.interest.split(";").map((part) => part.trim()).filter(Boolean);
const isBlank = () => interests().length === 0 && state.liked.length === 0 && !state.topics?.length;

/** Typing on one text is one step for the back button, everything else is a step of its own. */
function keepAddress(isTyped) {
  const hash = address.write(state);
  if (hash === location.hash.replace(/^#/, "")) return;
  const url = hash ? `#${hash}` : location.pathname + location.search;
  if (isTyped && lastWasTyped) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  lastWasTyped = isTyped;
}

function request(expansion) {
  const asked = { interests: interests(), liked_items: state.liked.map(({ id }) => id), k: BOOKS, deadline_ms: DEADLINE_MS, expansion };
  return state.topics === null ? asked : { ...asked, topics: state.topics.map(({ text }) => text) };
}

function topicsHint() {
  if (state.topics?.length === 0) return "No topics: your words alone are searched.";
  if (state.topics !== null) return "Your choice is searched as it stands.";
  if (pending) return "Searched along with your words, while an LLM thinks of others.";
  if (proposed.length > 0) return "Searched along with your words. Take one away or add your own.";
  return "Related subjects appear here once you say what you like.";
}

function showTopics() {
  topics.show(state.topics ?? proposed, { chosen: state.topics !== null, hint: topicsHint() });
}

function showEntered() {
  if (byId("interest").value !== state.interest) byId("interest").value = state.interest;
  showTopics();
  return showLikes(state.liked, dislike);
}

function show(answer) {
  const found = state.liked.filter(({ id }) => !answer.unknown_items.includes(id));
  const names = found.map(({ id }) => nameOf(id) ?? "a book");
  const chosen = state.topics !== null;
  if (!chosen) proposed = answer.topics;
  pending = answer.topics_pending;
  const made = topicsWords(answer.topics, { chosen, asked: interests().length > 0 });
  showTopics();
  byId("examples").hidden = !isBlank();
  showAnswer(answer, { title: headline({ interests: interests(), topics: state.topics ?? [], names }), made, like });
}

/** What of an answer is seen: the same again is not drawn again. */
const face = (answer) =>
  JSON.stringify([answer.items.map(({ id }) => id), answer.topics, answer.topics_pending, answer.degraded, state]);

async function update(titles = null, { isTyped = false } = {}) {
  inFlight?.abort();
  clearTimeout(timer);
  inFlight = new AbortController();
  const { signal } = inFlight;
  showWaiting(true);
  try {
    const [answer] = await Promise.all([recommend(request(isTyped ? "off" : "async"), signal), titles]);
    if (signal.aborted) return;
    show(answer);
    shown = face(answer);
    if (isTyped && interests().length > 0) timer = setTimeout(() => lookAgain(PENDING_LOOKS), SETTLED_MS);
    else if (answer.topics_pending) timer = setTimeout(() => lookAgain(PENDING_LOOKS), PENDING_MS);
  } catch (error) {
    if (signal.aborted) return;
    byId("examples").hidden = true;
    showProblem(error, () => update());
  } finally {
    if (!signal.aborted) showWaiting(false);
  }
}

/** Asks once more, quietly, and draws what has changed; goes on while an LLM is being asked. A failure leaves what is there. */
async function lookAgain(looks) {
  inFlight?.abort();
  inFlight = new AbortController();
  const { signal } = inFlight;
  try {
    const answer = await recommend(request("async"), signal);
    if (signal.aborted) return;
    if (face(answer) !== shown) {
      show(answer);
      shown = face(answer);
    }
    if (answer.topics_pending && looks > 1) timer = setTimeout(() => lookAgain(looks - 1), PENDING_MS);
  } catch {
    // the books that are shown are still true
  }
}

/** Takes a change, shows it at once and asks for its books after `delay` milliseconds without another. */
function change(entered, { delay = 0, isTyped = false } = {}) {
  state = { ...state, ...entered };
  clearTimeout(timer);
  inFlight?.abort();
  const titles = showEntered();
  const settle = () => {
    keepAddress(isTyped);
    update(titles, { isTyped });
  };
  if (delay > 0) timer = setTimeout(settle, delay);
  else settle();
}

function like(book) {
  remember(book);
  if (state.liked.some(({ id }) => id === book.id)) return;
  change({ liked: [...state.liked, { id: book.id }] });
}

function dislike(id) {
  change({ liked: state.liked.filter((book) => book.id !== id) });
  byId("liked").focus({ preventScroll: true });
}

function say(interest, when) {
  change({ interest, topics: null }, when);
}

const topics = new Topics((changed) => change({ topics: changed }));
new Combobox(like);
byId("interest").addEventListener("input", (event) => say(event.target.value, { delay: DEBOUNCE_MS, isTyped: true }));
byId("interest-form").addEventListener("submit", (event) => {
  event.preventDefault();
  change({ interest: byId("interest").value });
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});
byId("examples").append(
  element("p", { class: "caption" }, "Not sure where to start? Try"),
  ...EXAMPLES.map((text) => element("button", { class: "plain", type: "button", onclick: () => say(text) }, text)),
);
addEventListener("hashchange", () => {
  state = address.read(location.hash);
  lastWasTyped = false;
  clearTimeout(timer);
  update(showEntered());
});
byId("examples").hidden = !isBlank();
update(showEntered());
showStatus();
