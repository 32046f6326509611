// What all parts of the page share: markup, the state, and what changes it.

import { h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";
import * as api from "./api.js";
import * as link from "./link.js";
import { setColours } from "./drawing.js";

export const html = htm.bind(h);
export { render };
export { useEffect, useRef, useState } from "./vendor/hooks.js";

const turns = new api.Turns(["pass", "focus", "thumbnail"]);
const found = link.read(location.hash);
api.hold(found.token);

export const state = {
  ...found.state,
  catalogue: null, // what can be chosen
  result: null, // the pass that is shown
  before: null, // the same without any change
  photograph: null, // what the network saw, a bitmap
  thumbnails: new Map(), // of photographs, by their ids
  slices: new Map(), // of maps, by what was asked
  focus: null, // the slice of the chosen map: {after, before}
  smooth: false,
  stretch: false,
  opacity: 1,
  tool: "query", // or paint
  brush: 1,
  error: "",
  note: "",
  busy: false,
  findings: [],
  past: [],
};

let drawn = () => {};
export const onChange = (work) => { drawn = work; };
export function set(patch) {
  Object.assign(state, patch);
  history.replaceState(null, "", link.write(api.held(), state));
  drawn();
}

const pending = () => turns.waiting.get("pass").length > 0;
const fail = (error) => set({ error: error.message, busy: pending() });
let saying;
export function say(note) {
  clearTimeout(saying);
  set({ note });
  saying = setTimeout(() => set({ note: "" }), 2500);
}

const clone = (value) => JSON.parse(JSON.stringify(value));
const changed = () => state.edits.length > 0 || state.alpha !== 1;
export const keyOf = (map) => map.key;
export const maps = () => state.result?.maps ?? [];
export const chosen = () => maps().find((map) => map.key === state.key) ?? maps()[0] ?? null;
export const lookOf = (map) => Math.min(state.look, map.looks.length - 1);
export const layoutOf = (map) => map.looks[lookOf(map)];

export async function start() {
  try {
    const catalogue = await api.catalogue();
    setColours(catalogue.colours);
    const { model } = state;
    const there = "run" in model ? model.run < catalogue.runs.length : catalogue.backbones.includes(model.backbone);
    const images = catalogue.images.map((image) => image.id);
    const image = images.includes(state.image) ? state.image : state.image ? null : images[0] ?? null;
    set({ catalogue, model: there ? model : { run: 0 }, wanted: image ? null : state.image, error: "" });
    for (const each of images) thumbnail(each);
    if (image) show({ image });
    else if (state.wanted) set({ image: null, error: "The photograph of this link is not in memory: drop it again." });
  } catch (error) {
    set({ error: error.status === 401 ? "" : error.message, locked: error.status === 401 });
  }
}

export function unlock(address) {
  const given = address.includes("#") ? link.read(address.slice(address.indexOf("#"))).token : address.trim();
  api.hold(given);
  set({ locked: false });
  start();
}

function thumbnail(id) {
  turns.each("thumbnail", async () => {
    try {
      state.thumbnails.set(id, await api.thumbnail(id));
      drawn();
    } catch { /* it has left the memory meanwhile */ }
  });
}

// ---- photographs

export async function add(files) {
  const given = [...files];
  for (const file of given) {
    try {
      const photograph = await api.add(file);
      const images = [...state.catalogue.images.filter((image) => image.id !== photograph.id), photograph];
      set({ catalogue: { ...state.catalogue, images }, error: "" });
      thumbnail(photograph.id);
      const asked = state.wanted ? photograph.id === state.wanted : file === given[0];
      if (asked) show({ image: photograph.id, ...(state.wanted ? {} : { query: null }) });
      if (asked) state.wanted = null;
    } catch (error) {
      set({ error: `${file.name}: ${error.message}` });
    }
  }
}

export async function forget() {
  try {
    await api.forget();
    state.thumbnails.clear();
    state.slices.clear();
    set({
      catalogue: { ...state.catalogue, images: [] }, image: null, second: null, result: null, before: null, focus: null,
      photograph: null, edits: [], error: "",
    });
  } catch (error) {
    fail(error);
  }
}

// ---- passes

// Another network or photograph: the unchanged pass first, then the changed one.
export function show(patch) {
  const other = "model" in patch;
  set({ ...patch, busy: Boolean(patch.image ?? state.image), before: null, findings: [], ...(other ? { edits: [], past: [], key: null, head: null, look: 0, alpha: 1 } : {}) });
  if (state.image) turns.newest("pass", unchanged);
}

// Something changed in the network: slider values that come while a pass runs wait, and only the newest runs.
export function change(patch, { remember = true } = {}) {
  if (remember) state.past = [...state.past.slice(-49), clone({ edits: state.edits, alpha: state.alpha })];
  set({ ...patch, busy: Boolean(state.image) });
  if (state.image) turns.newest("pass", state.before ? again : unchanged);
}

export function undo() {
  const last = state.past.at(-1);
  if (!last) return;
  state.past = state.past.slice(0, -1);
  change(last, { remember: false });
}

async function unchanged() {
  set({ busy: true });
  const asked = { model: state.model, image: state.image };
  try {
    const before = await api.run(asked);
    const photograph = await api.seen(before.pass);
    state.slices.clear();
    set({ before, photograph, error: "", ...(changed() ? {} : { result: before, busy: pending() }) });
    if (changed()) await again();
    else arrived();
  } catch (error) {
    fail(error);
    set({ result: null, focus: null });
  }
}

async function again() {
  set({ busy: true });
  if (!changed()) {
    set({ result: state.before, busy: pending(), error: "" });
    arrived();
    return;
  }
  try {
    const started = performance.now();
    const result = await api.run({ model: state.model, image: state.image, edits: state.edits, alpha: state.alpha });
    set({ result, busy: pending(), error: "", trip: performance.now() - started });
    arrived();
  } catch (error) {
    if (error.status === 410) turns.newest("pass", unchanged);
    else fail(error);
  }
}

function arrived() {
  const kept = [state.result?.pass, state.before?.pass];
  for (const name of state.slices.keys()) if (!kept.includes(name.split(" ")[0])) state.slices.delete(name);
  if (!maps().some((map) => map.key === state.key)) state.key = maps().at(-1)?.key ?? null;
  look({});
}

// ---- slices

// The query of a map at a place of the image, or null.
export function queryOf(layout) {
  if (!layout?.queries || state.query === null) return null;
  const [rows, columns] = layout.queries;
  const column = Math.min(columns - 1, Math.floor(state.query[0] * columns));
  const row = Math.min(rows - 1, Math.floor(state.query[1] * rows));
  return layout.queryTokens + row * columns + column;
}
export const headOf = (layout) => (state.head !== null && state.head < layout.parts && layout.parts > 1 ? state.head : null);

const asking = (map) => {
  const layout = layoutOf(map);
  return { look: lookOf(map), head: map.key === state.key ? headOf(layout) : null, query: queryOf(layout) };
};
const nameOf = (pass, map, asked) => `${pass} ${map.key} ${JSON.stringify(asked)}`;

async function slice(pass, map, asked) {
  const name = nameOf(pass, map, asked);
  if (!state.slices.has(name)) {
    const got = await api.slice(pass, map.key, asked);
    state.slices.set(name, { ...got, kind: layoutOf(map).kind });
  }
  return state.slices.get(name);
}
export const sliced = (map, pass = state.result?.pass) => state.slices.get(nameOf(pass, map, asking(map))) ?? null;

// Another map, head, look or query: slices are asked for, the network does not run.
export function look(patch) {
  set(patch);
  const map = chosen();
  if (!map) return set({ focus: null });
  turns.newest("focus", async () => {
    try {
      const asked = asking(map);
      const after = await slice(state.result.pass, map, asked);
      const same = state.before.pass === state.result.pass;
      const known = state.before.maps.some((one) => one.key === map.key);
      const before = same || !known ? null : await slice(state.before.pass, map, asked);
      set({ focus: { key: map.key, after, before } });
    } catch (error) {
      if (error.status === 410) turns.newest("pass", unchanged);
      else fail(error);
    }
  });
  turns.drop("thumbnail");
  for (const each of maps()) {
    if (sliced(each)) continue;
    turns.each("thumbnail", async () => {
      try {
        await slice(state.result.pass, each, asking(each));
        drawn();
      } catch { /* a newer pass has taken its place */ }
    });
  }
  for (const image of state.catalogue.images) if (!state.thumbnails.has(image.id)) thumbnail(image.id);
}

export function step(by) {
  const all = maps();
  const at = all.findIndex((map) => map.key === chosen()?.key);
  if (at >= 0) look({ key: all[(at + by + all.length) % all.length].key, head: null, look: 0 });
}

// ---- edits

export const editsOf = (key) => state.edits.filter((edit) => edit.key === key);
// One edit of a kind for each map (and step, of what is moved): a new one takes the place of the old; null takes it away.
export function edit(key, kind, values, options, step = values?.step) {
  const same = (each) => each.key === key && each.kind === kind && each.step === step;
  const at = state.edits.findIndex(same);
  const others = state.edits.filter((each) => !same(each));
  others.splice(at < 0 ? others.length : at, 0, ...(values === null ? [] : [{ key, kind, ...values }]));
  change({ edits: others }, options);
}

export const address = () => location.href;
