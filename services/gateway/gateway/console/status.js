// Says in the footer what this installation runs on. Knows nothing of recommendations.

import { getStatus } from "./api.js";
import { byId, element } from "./element.js";

const count = (number, noun) => (number === null ? null : `${number.toLocaleString("en-GB")} ${noun}`);

export async function showStatus() {
  let facts;
  try {
    const { items, events, expander, encoder, ladder } = await getStatus();
    facts = [
      count(items, "books"),
      count(events, "events"),
      `Topics: ${expander ?? "not answering"}`,
      `Encoder: ${encoder ?? "not answering"}`,
      `Ladder: ${ladder}`,
    ];
  } catch (error) {
    facts = [`Status not available: ${error.message}`];
  }
  byId("foot").replaceChildren(...facts.filter(Boolean).map((fact) => element("span", {}, fact)));
}
