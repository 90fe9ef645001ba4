// Shows the books a person liked and looks up those of which the address gave only the id. Knows nothing of recommendations.

import { getItem } from "./api.js";
import { byline, describe } from "./book.js";
import { cover } from "./cover.js";
import { byId, element, icon } from "./element.js";

const known = new Map();

/** Keeps what the page already learned about a book, so that it is not asked for again. */
export function remember(book) {
  known.set(book.id, book);
}

export const nameOf = (id) => known.get(id)?.name ?? null;

async function lookUp(id) {
  try {
    remember(describe(await getItem(id)));
  } catch (error) {
    remember({ ...describe({ id, title: `Book ${id}` }), fault: error.status === 404 ? "Not in this catalogue" : error.message });
  }
}

function row(book, remove) {
  const label = `Remove ${book.name} from your liked books`;
  return element(
    "li",
    { class: "liked", "data-id": book.id },
    cover(book, { small: true }),
    element("span", { class: "liked-words" },
      element("span", { class: "liked-name" }, book.name),
      element("span", { class: "caption" }, book.fault ?? byline(book))),
    element("button", { class: "square", type: "button", "aria-label": label, onclick: () => remove(book.id) }, icon("close")),
  );
}

/** Draws the shelf; resolves to true when titles had to be fetched first. */
export async function showLikes(liked, remove) {
  const draw = () => byId("liked-books").replaceChildren(
    ...liked.map(({ id }) => row(known.get(id) ?? { ...describe({ id, title: "…" }) }, remove)));
  draw();
  const missing = liked.filter(({ id }) => !known.has(id));
  if (missing.length === 0) return false;
  await Promise.all(missing.map(({ id }) => lookUp(id)));
  draw();
  return true;
}
