// What the page asks of the server: one pass or slice at a time, and of several waiting passes only the newest.

const TOKEN = "x-regard-token";

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let token = "";
export const hold = (given) => { token = given; };
export const held = () => token;

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, [TOKEN]: token } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "the server does not answer: is `regard serve` still running?");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refusal(answer.status, told.error || `the server answered ${answer.status}`);
  }
  return answer;
}

const json = (content) => ({
  method: "POST", body: JSON.stringify(content), headers: { "content-type": "application/json" },
});

export const catalogue = async () => (await ask("catalogue")).json();
export const forget = () => ask("images", { method: "DELETE" });
export const add = async (file) =>
  (await ask("images", { method: "POST", body: file, headers: { "x-name": encodeURIComponent(file.name || "") } })).json();
export const run = async (asked) => (await ask("pass", json(asked))).json();
export const doctor = async (asked) => (await ask("doctor", json(asked))).json();

const picture = async (path) => createImageBitmap(await (await ask(path)).blob());
export const thumbnail = (id) => picture(`images/${id}`);
export const seen = (pass) => picture(`seen/${pass}`);

export async function slice(pass, key, { look = 0, head = null, query = null } = {}) {
  const asked = new URLSearchParams({ look });
  if (head !== null) asked.set("head", head);
  if (query !== null) asked.set("query", query);
  const answer = await ask(`map/${pass}/${key.split("/").map(encodeURIComponent).join("/")}?${asked}`);
  const facts = JSON.parse(answer.headers.get("x-slice"));
  return { ...facts, values: halves(await answer.arrayBuffer(), facts.scale) };
}

// Little-endian float16, times a power of two.
function halves(buffer, scale) {
  const view = new DataView(buffer);
  const values = new Float32Array(buffer.byteLength / 2);
  for (let i = 0; i < values.length; i++) {
    const bits = view.getUint16(2 * i, true);
    const sign = bits & 0x8000 ? -scale : scale;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 31) values[i] = fraction ? NaN : sign * Infinity;
    else values[i] = exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
  }
  return values;
}

// One JSON value a line, as they come.
export async function* faithful(asked, signal) {
  const answer = await ask("faithful", { ...json(asked), signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

// Runs one thing at a time. Of things of the same kind that wait, the newest takes the place of the older; kinds named
// first go first.
export class Turns {
  constructor(kinds) {
    this.waiting = new Map(kinds.map((kind) => [kind, []]));
    this.busy = false;
  }
  newest(kind, work) {
    this.waiting.set(kind, [work]);
    this.next();
  }
  each(kind, work) {
    this.waiting.get(kind).push(work);
    this.next();
  }
  drop(kind) {
    this.waiting.set(kind, []);
  }
  async next() {
    if (this.busy) return;
    const line = [...this.waiting.values()].find((works) => works.length);
    if (!line) return;
    this.busy = true;
    try {
      await line.shift()();
    } finally {
      this.busy = false;
      this.next();
    }
  }
}
