// Draws where the milliseconds of an answer went: one stacked bar and its legend. Knows no stage's work.

import { element } from "./element.js";

const STAGES = { expander: "topics", encoder: "encoding", retriever: "search", profiles: "profile" };

const milliseconds = (value) => (value < 9.95 ? value.toFixed(1) : Math.round(value).toString());

const colour = (name) => `stage-${name in STAGES ? name : "rest"}`;

/** [{name, label, ms}], with what no stage accounts for as "gateway". Stages that ran side by side can sum to more than the total. */
function parts(timings) {
  const { total = 0, ...stages } = timings;
  const order = [...Object.keys(STAGES), ...Object.keys(stages)];
  const found = Object.entries(stages)
    .sort(([one], [other]) => order.indexOf(one) - order.indexOf(other))
    .map(([name, ms]) => ({ name, label: STAGES[name] ?? name.replaceAll("_", " "), ms }));
  const rest = total - found.reduce((sum, part) => sum + part.ms, 0);
  return rest > 0.05 ? [...found, { name: "rest", label: "gateway", ms: rest }] : found;
}

export function timingsBar(timings) {
  const found = parts(timings);
  const whole = found.reduce((sum, part) => sum + part.ms, 0) || 1;
  const bar = element("div", { class: "timing-bar", "aria-hidden": "true" });
  for (const { name, ms } of found) {
    const piece = element("span", { class: `part ${colour(name)}` });
    piece.style.width = `${(100 * ms) / whole}%`;
    bar.append(piece);
  }
  const legend = found.map(({ name, label, ms }) => element("li", { class: colour(name) }, `${label} ${milliseconds(ms)}`));
  const total = element("li", { class: "total" }, `${milliseconds(timings.total ?? whole)} ms in all`);
  const list = { class: "legend", "aria-label": "Milliseconds per stage" };
  return element("div", { class: "timings" }, bar, element("ul", list, ...legend, total));
}
