// Keeps what the person entered in the address, so that it can be shared and the back button works. Knows nothing of the DOM.
//
// #interest=space+opera&liked=7&liked=12&topic=politics&by=cooccurrence
// Without `topic` the expander proposes; `topic=` (blank) means that every topic was removed.

const SOURCES = ["llm", "cooccurrence", "caller"];

function readTopics(fields) {
  if (!fields.has("topic")) return null;
  const proposers = fields.getAll("by");
  const topics = fields.getAll("topic").map((text, place) => {
    const [source, model = null] = (proposers[place] ?? "caller").split(/:(.*)/s);
    return { text, source: SOURCES.includes(source) ? source : "caller", model };
  });
  return topics.filter((topic) => topic.text.trim() !== "");
}

/** The state that an address stands for; of the liked books only the ids are known. */
export function read(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  return {
    interest: fields.get("interest") ?? "",
    liked: [...new Set(fields.getAll("liked"))].filter(Boolean).map((id) => ({ id })),
    topics: readTopics(fields),
  };
}

/** The address of a state; blank for the blank state. */
export function write({ interest, liked, topics }) {
  const fields = new URLSearchParams();
  if (interest.trim() !== "") fields.set("interest", interest);
  for (const book of liked) fields.append("liked", book.id);
  if (topics?.length === 0) fields.append("topic", "");
  for (const { text, source, model } of topics ?? []) {
    fields.append("topic", text);
    fields.append("by", model ? `${source}:${model}` : source);
  }
  return fields.toString();
}
