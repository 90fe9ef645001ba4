// Shows the topics as chips with their proposer, and takes topics away or adds them. Knows nothing of how they were found.

import { byId, element, icon } from "./element.js";

/** "LLM Qwen2.5-7B-Instruct", "catalogue co-occurrence" or "you". */
export function proposer({ source, model }) {
  if (source === "llm") return model ? `LLM ${model.split("/").pop()}` : "LLM";
  return source === "cooccurrence" ? "catalogue co-occurrence" : "you";
}

const sameText = (one, other) => one.toLowerCase() === other.toLowerCase();

export class Topics {
  #shown = [];
  #change;

  /** `change` is called with the new list, or with null to ask the expander again. */
  constructor(change) {
    this.#change = change;
    byId("topics-reset").addEventListener("click", () => change(null));
    byId("topic-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add(byId("topic"));
    });
  }

  /** `chosen`: the person changed the list, so it is no longer the expander's own. */
  show(topics, { chosen, hint }) {
    this.#shown = topics;
    byId("topic-chips").replaceChildren(...topics.map((topic) => this.#chip(topic)));
    byId("topics-reset").hidden = !chosen;
    byId("topics-hint").textContent = hint;
  }

  #chip(topic) {
    const by = proposer(topic);
    const remove = () => this.#remove(topic);
    return element(
      "li",
      { class: `chip by-${topic.source}`, title: topic.interest ? `For “${topic.interest}”, proposed by ${by}` : `Proposed by ${by}` },
      element("span", { class: "chip-words" },
        element("span", { class: "chip-text" }, topic.text),
        element("span", { class: "caption" }, element("span", { class: "unseen" }, "proposed by "), by)),
      element("button", { class: "square", type: "button", "aria-label": `Remove topic ${topic.text}`, onclick: remove }, icon("close")),
    );
  }

  #remove(topic) {
    const place = this.#shown.indexOf(topic);
    this.#change(this.#shown.filter((shown) => shown !== topic));
    const left = byId("topic-chips").querySelectorAll("button");
    (left[Math.min(place, left.length - 1)] ?? byId("topic")).focus({ preventScroll: true });
  }

  #add(input) {
    const text = input.value.trim().replace(/\s+/g, " ");
    input.value = "";
    if (text === "" || this.#shown.some((topic) => sameText(topic.text, text))) return;
    this.#change([...this.#shown, { text, source: "caller", model: null }]);
  }
}
