// What is changed in the network: the gate, and edits of the chosen map.

import { html, set, state, chosen, layoutOf, change, edit, editsOf, headOf, queryOf, undo } from "./page.js";
import { Thumbnail } from "./photographs.js";

const shown = (value) => Number(value).toFixed(2).replace(/\.?0+$/, "");
// Dragging a slider is one change to undo: the value before it is remembered once.
const slide = { at: null };
const sliding = (name) => {
  const first = slide.at !== name;
  slide.at = name;
  return { remember: first };
};
const settle = () => { slide.at = null; };

function Slider({ label, value, min, max, step, text, onInput, off }) {
  return html`<label class="field"><span>${label}</span>
    <input type="range" min=${min} max=${max} step=${step} value=${value} aria-label=${label}
      onInput=${(event) => onInput(Number(event.target.value), sliding(label))} onChange=${settle} />
    <output>${text}</output>
    ${off && html`<button class="off" aria-label=${`Remove ${label}`} onClick=${off}>×</button>`}</label>`;
}

export function Changes() {
  const map = chosen();
  const { result } = state;
  if (!result || (!map && !result.gates)) return null;
  return html`<section class="changes" aria-label="Changes">
    <h2>Change it <span class="buttons"><button disabled=${!state.past.length} onClick=${undo}>Undo</button>
      <button disabled=${!state.edits.length && state.alpha === 1} onClick=${() => change({ edits: [], alpha: 1 })}>Reset</button></span></h2>
    ${result.gates > 0 && html`<${Slider} label="gate α" min="0" max="2" step="0.02" value=${state.alpha} text=${`× ${shown(state.alpha)}`}
      onInput=${(alpha, options) => change({ alpha }, options)} off=${state.alpha !== 1 && (() => change({ alpha: 1 }))} />`}
    ${map && map.acts !== false ? html`<${Edits} map=${map} layout=${layoutOf(map)} />` : map && html`<p class="help">This map is shown only: the network does not use it, so that nothing would follow from an edit.</p>`}
    ${state.edits.length > 0 && html`<${Listed} />`}
  </section>`;
}

function Edits({ map, layout }) {
  const { key } = map;
  const of = (kind) => editsOf(key).find((each) => each.kind === kind);
  const off = (kind) => of(kind) && (() => edit(key, kind, null));
  const toggle = (kind, values = {}) => edit(key, kind, of(kind) ? null : values);
  const button = (kind, text, help, values) => html`<button aria-pressed=${Boolean(of(kind))} title=${help} onClick=${() => toggle(kind, values)}>${text}</button>`;
  const temperature = of("temperature")?.value ?? 1;
  const scale = of("scale")?.value ?? 1;
  const constant = of("constant")?.value;
  const others = state.catalogue.images.filter((image) => image.id !== state.image);
  const sums = Boolean(map.sums);
  return html`<div class="edits">
    <p class="of">of <b>${key}</b></p>
    ${sums
      ? html`<${Slider} label="temperature" min="-3" max="3" step="0.1" value=${Math.log2(temperature)} text=${shown(temperature)}
          onInput=${(power, options) => edit(key, "temperature", { value: 2 ** power }, options)} off=${off("temperature")} />`
      : html`<${Slider} label="scale" min="0" max="2" step="0.02" value=${scale} text=${`× ${shown(scale)}`}
          onInput=${(value, options) => edit(key, "scale", { value }, options)} off=${off("scale")} />
        <${Slider} label="constant" min="0" max="1" step="0.01" value=${constant ?? 0.5} text=${constant === undefined ? "off" : shown(constant)}
          onInput=${(value, options) => edit(key, "constant", { value }, options)} off=${off("constant")} />`}
    <div class="row">
      ${button("uniform", "Even", "Every value becomes the mean")}
      ${button("shuffle", "Shuffle", "The same values at other places", { seed: 0 })}
      ${others.length > 0 && button("mean", "Mean of all", "The mean map of all photographs")}
    </div>
    ${layout.kind === "plane" && html`<div class="row">
      <button aria-pressed=${state.tool === "paint" && !state.erase} onClick=${() => set({ tool: state.tool === "paint" && !state.erase ? "query" : "paint", erase: false })}>Paint a mask</button>
      <button aria-pressed=${state.tool === "paint" && state.erase === true} onClick=${() => set({ tool: state.tool === "paint" && state.erase ? "query" : "paint", erase: true })}>Erase</button>
      ${state.tool === "paint" && html`<label class="field small"><span>brush</span><input type="range" min="1" max="9" value=${state.brush} onInput=${(event) => set({ brush: Number(event.target.value) })} /><output>${state.brush}</output></label>`}
      ${of("mask") && html`<button onClick=${() => edit(key, "mask", null)}>Clear</button>`}
    </div>`}
    ${layout.queries && html`<${Queries} map=${map} layout=${layout} />`}
    ${layout.kind === "path" || layout.kind === "boxes" ? html`<p class="help">Drag a place on the picture: the network then looks there.</p>` : ""}
    ${layout.kind === "bars" && /^B [CD]( 1)*$/.test(map.axes) ? html`<p class="help">Click a bar to switch its channel off.</p>` : ""}
    ${layout.parts > 1 && (layout.part === "head" || layout.part === "channel") && html`<${Parts} map=${map} layout=${layout} />`}
    ${others.length > 0 && html`<fieldset class="swap"><legend>Swap with the map of</legend>
      <div class="row">${others.slice(0, 12).map((image) => html`<button key=${image.id} class="photo" title=${image.name} aria-pressed=${of("swap")?.image === image.id} aria-label=${`Swap with ${image.name}`}
        onClick=${() => edit(key, "swap", of("swap")?.image === image.id ? null : { image: image.id })}><${Thumbnail} id=${image.id} name="" /></button>`)}</div></fieldset>`}
  </div>`;
}

function Queries({ map, layout }) {
  const off = editsOf(map.key).find((each) => each.kind === "query")?.parts ?? [];
  const query = queryOf(layout);
  const turn = () => {
    const parts = off.includes(query) ? off.filter((each) => each !== query) : [...off, query];
    edit(map.key, "query", parts.length ? { parts } : null);
  };
  return html`<div class="row"><button disabled=${query === null} aria-pressed=${off.includes(query)} onClick=${turn}>${query === null ? "Click a place to switch its query off" : off.includes(query) ? "Query is off" : "Switch this query off"}</button>
    ${off.length > 0 && html`<span class="help">${off.length} off</span>`}</div>`;
}

const TOGGLED = 24; // parts that have a button each

function Parts({ map, layout }) {
  const found = editsOf(map.key).find((each) => each.kind === "ablate");
  const off = found?.parts ?? [];
  const turn = (part) => {
    const parts = off.includes(part) ? off.filter((each) => each !== part) : [...off, part].sort((a, b) => a - b);
    edit(map.key, "ablate", parts.length ? { part: layout.part, parts } : null);
  };
  const head = headOf(layout);
  return html`<fieldset class="parts"><legend>${layout.part}s that are on</legend>
    ${layout.parts <= TOGGLED
      ? html`<div class="row">${Array.from({ length: layout.parts }, (_, part) => html`<button class="chip" aria-pressed=${!off.includes(part)} aria-label=${`${layout.part} ${part + 1}`} onClick=${() => turn(part)}>${part + 1}</button>`)}</div>`
      : html`<div class="row"><button disabled=${head === null} onClick=${() => turn(head)}>${head === null ? `Choose a ${layout.part} to switch it off` : `Switch ${layout.part} ${head + 1} ${off.includes(head) ? "on" : "off"}`}</button>
          ${off.length > 0 && html`<span class="help">${off.length} off</span>`}</div>`}
  </fieldset>`;
}

const told = (each) => ({
  constant: () => `= ${shown(each.value)}`, scale: () => `× ${shown(each.value)}`, temperature: () => `temperature ${shown(each.value)}`,
  uniform: () => "even", shuffle: () => "shuffled", mean: () => "mean of all photographs",
  mask: () => `${each.off.length} of ${each.shape[0] * each.shape[1]} places off`,
  ablate: () => `${each.part} ${each.parts.length > 4 ? `× ${each.parts.length}` : each.parts.map((part) => part + 1).join(", ")} off`,
  query: () => `${each.parts.length} ${each.parts.length > 1 ? "queries" : "query"} off`,
  swap: () => `of ${state.catalogue.images.find((image) => image.id === each.image)?.name ?? "another photograph"}`,
  move: () => `step ${each.step + 1} moved`,
}[each.kind] ?? (() => each.kind))();

function Listed() {
  return html`<ul class="listed" aria-label="Edits that act">${state.edits.map((each) => html`<li><span title=${each.key}>${each.key}</span><b>${told(each)}</b>
    <button class="off" aria-label=${`Remove ${told(each)} of ${each.key}`} onClick=${() => edit(each.key, each.kind, null, {}, each.step)}>×</button></li>`)}</ul>`;
}
