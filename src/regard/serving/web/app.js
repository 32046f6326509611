// The page: bar, photographs, stage, prediction, changes, curve, and all maps.

import {
  html, render, onChange, set, state, start, unlock, show, add, say, step, look, undo, useEffect, useRef, useState, address,
} from "./page.js";
import { Photographs } from "./photographs.js";
import { Stage } from "./stage.js";
import { Gallery } from "./gallery.js";
import { Prediction } from "./prediction.js";
import { Changes } from "./changes.js";
import { Curve } from "./curve.js";
import { Findings } from "./findings.js";

function Bar() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") || "");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    if (theme) localStorage.setItem("theme", theme);
  }, [theme]);
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const copy = async (text, note) => {
    try {
      await navigator.clipboard.writeText(text);
      say(note);
    } catch { // a browser that does not let pages copy
      set({ copied: text });
    }
  };
  return html`<header class="bar">
    <p class="brand">regard</p>
    <${Network} />
    <div class="tools">
      <button disabled=${!state.result} onClick=${() => copy(state.result.python, "The code is in the clipboard")}>Copy as Python</button>
      <button disabled=${!state.result} onClick=${() => copy(address(), "The link is in the clipboard")}>Copy link</button>
      <button onClick=${() => setTheme(dark ? "light" : "dark")} aria-label=${dark ? "Light colours" : "Dark colours"}>${dark ? "Light" : "Dark"}</button>
    </div>
  </header>`;
}

function Network() {
  const { catalogue, model } = state;
  const [backbone, setBackbone] = useState(model.backbone ?? "");
  useEffect(() => setBackbone(state.model.backbone ?? ""), [state.model.backbone]);
  if (!catalogue) return null;
  const own = "backbone" in model;
  const choose = (value) => {
    if (value === "other") show({ model: { backbone: backbone || "resnet18", entry: "cbam" } });
    else show({ model: { run: Number(value) } });
  };
  const named = (name) => {
    if (catalogue.backbones.includes(name)) show({ model: { ...model, backbone: name } });
    else set({ error: `timm has no network ${name}` });
  };
  return html`<form class=${"network" + (own ? " own" : "")} onSubmit=${(event) => event.preventDefault()}>
    <label><span>Network</span>
      <select value=${own ? "other" : String(model.run)} onChange=${(event) => choose(event.target.value)}>
        ${catalogue.runs.map((title, number) => html`<option value=${String(number)}>${title}</option>`)}
        <option value="other">an entry on a backbone …</option>
      </select></label>
    ${own && html`<label><span>Attention</span>
      <select value=${model.entry ?? ""} onChange=${(event) => show({ model: { ...model, entry: event.target.value || null } })}>
        <option value="">the backbone's own</option>
        ${catalogue.entries.map((entry) => html`<option value=${entry.name}>${entry.name} · ${entry.domains.join(" + ")} · ${entry.year}</option>`)}
      </select></label>
      <label><span>Backbone</span>
        <input list="backbones" value=${backbone} spellcheck="false" autocomplete="off"
          onInput=${(event) => setBackbone(event.target.value)} onChange=${(event) => named(event.target.value)} />
        <datalist id="backbones">${catalogue.backbones.map((name) => html`<option value=${name} />`)}</datalist></label>`}
  </form>`;
}

function Locked() {
  const field = useRef(null);
  return html`<main class="locked"><h1>This page is locked</h1>
    <p>Open the address that <code>regard serve</code> printed, or paste it here: it holds the token of this session.</p>
    <form onSubmit=${(event) => { event.preventDefault(); unlock(field.current.value); }}>
      <input ref=${field} aria-label="Address or token" autofocus /><button class="strong">Open</button></form></main>`;
}

function App() {
  if (state.locked) return html`<${Locked} />`;
  if (!state.catalogue) return html`<p class="wait">${state.error || "Opening …"}</p>`;
  const { result } = state;
  return html`<${Bar} />
    <main>
      ${state.error && html`<p class="error" role="alert">${state.error}<button onClick=${() => set({ error: "" })} aria-label="Close">×</button></p>`}
      ${result?.warning && html`<p class="warning">${result.warning}</p>`}
      <div class="work">
        <${Photographs} />
        <${Stage} />
        <aside class="side" aria-label="Prediction and changes">
          <${Prediction} />
          <${Changes} />
          <${Findings} />
          <${Curve} />
        </aside>
      </div>
      <${Gallery} />
    </main>
    ${state.copied && html`<div class="copied" role="dialog" aria-label="To copy"><button onClick=${() => set({ copied: "" })}>Close</button><pre tabindex="0">${state.copied}</pre></div>`}
    <p class=${"note" + (state.note ? " on" : "")} role="status">${state.note}</p>`;
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length && state.catalogue) add(event.dataTransfer.files);
});
addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length && state.catalogue) add(event.clipboardData.files);
});
addEventListener("keydown", (event) => {
  if (event.target.closest?.("input, select, textarea") || event.metaKey || event.altKey) return;
  if (event.ctrlKey) {
    if (event.key === "z") undo();
    return;
  }
  const parts = { "[": () => step(-1), "]": () => step(1), u: undo, Escape: () => look({ query: null }), b: () => set({ mode: "before" }) };
  if (event.repeat && event.key === "b") return;
  parts[event.key]?.();
});
addEventListener("keyup", (event) => {
  if (event.key === "b" && state.mode === "before" && !event.target.closest?.("input, select")) set({ mode: "after" });
});
addEventListener("hashchange", () => location.reload());

const root = document.getElementById("app");
root.textContent = "";
onChange(() => render(html`<${App} />`, root));
start();
