// Speaks to the gateway's public API. Knows the wire, nothing of the page.

const ROOT = new URL("../", import.meta.url);

/** The gateway said no, or nothing (`status` 0). `message` is the problem's detail (RFC 9457), which names the value and the remedy. */
export class Refused extends Error {
  constructor({ status, title, detail, request_id: requestId = null }) {
    super(detail);
    this.status = status;
    this.title = title;
    this.requestId = requestId;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, ROOT), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const detail = "The gateway can not be reached. What you entered is kept; try again when it runs.";
    throw new Refused({ status: 0, title: "No connection", detail });
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && body !== null) return body;
  const detail = `The gateway answered with status ${response.status} and without an explanation.`;
  throw new Refused({ title: response.statusText, detail, ...body, status: response.status });
}

/** A RecommendationRequest in, a RecommendationResponse out. */
export function recommend(request, signal) {
  const headers = { "content-type": "application/json" };
  return ask("v1/recommendations", { method: "POST", headers, body: JSON.stringify(request), signal });
}

/** At most `limit` items that the words find, the most relevant first. */
export async function findItems(query, limit, signal) {
  const page = await ask(`v1/items?${new URLSearchParams({ query, limit })}`, { signal });
  return page.items;
}

export const getItem = (id) => ask(`v1/items/${encodeURIComponent(id)}`);

export const getStatus = () => ask("v1/status");
