// Sets a typographic cover from title and author, the same one every time. Knows nothing of where it stands.

import { element } from "./element.js";

const TONES = 12;
const SETTINGS = 5;

/** FNV-1a, 32 bits. */
function hash(text) {
  let value = 0x811c9dc5;
  for (const unit of text) value = Math.imul(value ^ unit.codePointAt(0), 0x01000193) >>> 0;
  return value;
}

/** Pixels: as large as the length allows, with the longest word still on one line of a 92 pixel cover. */
function size(name) {
  const longest = Math.max(...name.split(/[\s-]+/).map((word) => word.length));
  const wanted = name.length > 44 ? 11 : name.length > 20 ? 13.5 : 17;
  return Math.max(8.5, Math.min(wanted, 62 / (0.6 * longest)));
}

/** Decoration only: whatever it says stands beside it as text. `small` leaves the words out. */
export function cover({ name, authors }, { small = false } = {}) {
  const number = hash(`${name}/${authors[0] ?? ""}`);
  const look = `cover tone-${number % TONES} setting-${(number >>> 8) % SETTINGS}`;
  if (small) return element("span", { class: `${look} cover-small`, "aria-hidden": "true" });
  const title = element("span", { class: "cover-name" }, name);
  title.style.fontSize = `${size(name)}px`;
  return element("div", { class: look, "aria-hidden": "true" }, title, element("span", { class: "cover-author" }, authors[0] ?? ""));
}
