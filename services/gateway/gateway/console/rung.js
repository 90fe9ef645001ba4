// Says in words how much was known of the person, who proposed the topics and what was substituted. Knows nothing of the DOM.

import { proposer } from "./topics.js";

const RUNGS = [
  "Rung 0: nothing known yet",
  "Rung 1: stated interest",
  "Rung 2: a few liked books",
  "Rung 3: a reading history",
];

const STAGES = {
  expander: "Topic suggestions",
  encoder: "Understanding of your words",
  retriever: "Catalogue search",
  profiles: "Your stored history",
};

export const rungWords = (rung) => RUNGS[rung] ?? `Rung ${rung}`;

/** "Topics by LLM Qwen2.5-7B-Instruct"; null when there is nothing to say. */
export function topicsWords(topics, { chosen, asked }) {
  if (chosen) return "Topics chosen by you";
  if (topics.length > 0) return `Topics by ${[...new Set(topics.map(proposer))].join(" and ")}`;
  return asked ? "No topics found, your words alone were searched" : null;
}

const ended = (text) => (/[.!?…]$/.test(text.trim()) ? text.trim() : `${text.trim()}.`);

/** A degradation in plain language. */
export function degradedWords({ stage, reason, substitute }) {
  return { title: `${STAGES[stage] ?? stage}: working with a substitute`, text: `Why: ${ended(reason)} Instead: ${ended(substitute)}` };
}

const shorten = (text, limit = 60) => (text.length > limit ? `${text.slice(0, limit - 1).trimEnd()}…` : text);

function likedWords(names) {
  return names.length > 1 ? `${names[0]} and ${names.length - 1} more` : names[0];
}

/** The heading over the books; `names` are those of the liked books. */
export function headline({ interests, topics, names }) {
  const wish = interests.map((interest) => `“${shorten(interest)}”`).join(" and ");
  if (wish && names.length > 0) return `For ${wish}, with ${likedWords(names)} in mind`;
  if (wish) return `For ${wish}`;
  if (names.length > 0) return `Because you liked ${likedWords(names)}`;
  if (topics.length > 0) return `About ${shorten(topics.map((topic) => topic.text).join(", "))}`;
  return "Popular with readers";
}
