// The state of the page as the fragment of its address: #token=…&state=…. A fragment is never sent to a server.

const empty = () => ({
  model: { run: 0 }, image: null, second: null, alpha: 1, edits: [], key: null, look: 0, head: null, query: null, mode: "after", curve: false,
});

export function read(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  let state = empty();
  try {
    const found = JSON.parse(parts.get("state") || "{}");
    if (found && typeof found === "object" && !Array.isArray(found)) {
      for (const name of Object.keys(state)) if (name in found) state[name] = found[name];
      if (!Array.isArray(state.edits)) state.edits = [];
    }
  } catch {
    state = empty();
  }
  return { token: parts.get("token") || "", state };
}

export function write(token, state) {
  const kept = Object.fromEntries(Object.keys(empty()).map((name) => [name, state[name]]));
  return `#${new URLSearchParams({ token, state: JSON.stringify(kept) })}`;
}
