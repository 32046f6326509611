// The large picture: one map over what the network saw, where queries are chosen and masks are painted.

import { html, set, state, chosen, layoutOf, lookOf, look, queryOf, headOf, edit, editsOf, useEffect, useRef } from "./page.js";
import { draw, mark, legend } from "./drawing.js";

const SIDE = 640;
const digits = (value) => (value === 0 ? "0" : Math.abs(value) >= 1000 || Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3))));

export const maskOf = (key) => editsOf(key).find((each) => each.kind === "mask");

export function Stage() {
  const below = useRef(null);
  const above = useRef(null);
  const scale = useRef(null);
  const painting = useRef(null);
  const dragging = useRef(null);
  const map = chosen();
  const layout = map && layoutOf(map);
  const { photograph, focus, mode } = state;
  const current = focus && map && focus.key === map.key ? focus : null;
  const ratio = photograph ? photograph.height / photograph.width : 0.75;
  const query = layout ? queryOf(layout) : null;
  const mask = map && maskOf(map.key);
  const cells = painting.current ?? (mask ? full(mask) : null);
  const shownMode = current?.before ? mode : "after";
  let ends = null;

  useEffect(() => {
    if (!below.current) return;
    ends = draw(below.current, photograph, current?.after, { before: current?.before, mode: shownMode, smooth: state.smooth, opacity: state.opacity, stretch: state.stretch });
    mark(above.current, { query, grid: layout?.queries, tokens: layout?.queryTokens, painted: state.tool === "paint" || mask ? cells : null });
    if (scale.current) {
      legend(scale.current, shownMode);
      const told = ends ?? current?.after.ends ?? [0, 1];
      scale.current.previousElementSibling.textContent = digits(told[0]);
      scale.current.nextElementSibling.textContent = digits(told[1]);
    }
  });

  const place = (event) => {
    const box = above.current.getBoundingClientRect();
    const clip = (value) => Math.min(0.99999, Math.max(0, value));
    return [clip((event.clientX - box.left) / box.width), clip((event.clientY - box.top) / box.height)];
  };
  const dab = (event) => {
    const [x, y] = place(event);
    const [rows, columns] = painting.current.shape;
    const reach = (state.brush - 1) / 2;
    const column = Math.floor(x * columns);
    const row = Math.floor(y * rows);
    for (let r = Math.ceil(row - reach); r <= row + reach; r++) {
      for (let c = Math.ceil(column - reach); c <= column + reach; c++) {
        if (r >= 0 && c >= 0 && r < rows && c < columns) painting.current.values[r * columns + c] = painting.current.to;
      }
    }
    mark(above.current, { query, grid: layout?.queries, tokens: layout?.queryTokens, painted: painting.current });
  };
  const down = (event) => {
    if (!layout) return;
    const values = current?.after.values;
    if (layout.kind === "bars" && /^B [CD]( 1)*$/.test(map.axes) && map.acts !== false) {
      const [x] = place(event);
      const channel = Math.floor(((x - 0.03) / 0.94) * layout.size[0]);
      if (channel < 0 || channel >= layout.size[0]) return;
      const off = editsOf(map.key).find((each) => each.kind === "ablate")?.parts ?? [];
      const parts = off.includes(channel) ? off.filter((each) => each !== channel) : [...off, channel].sort((a, b) => a - b);
      edit(map.key, "ablate", parts.length ? { part: "channel", parts } : null);
      return;
    }
    if ((layout.kind === "path" || layout.kind === "boxes") && values && map.acts !== false) {
      const [x, y] = place(event).map((one) => 2 * one - 1);
      const wide = layout.kind === "path" ? 2 : 4;
      const apart = (i) => {
        const own = wide === 2 ? [values[2 * i], values[2 * i + 1]] : [(values[4 * i] + values[4 * i + 2]) / 2, (values[4 * i + 1] + values[4 * i + 3]) / 2];
        return Math.hypot(own[0] - x, own[1] - y);
      };
      const nearest = Array.from({ length: layout.size[0] }, (_, i) => i).sort((a, b) => apart(a) - apart(b))[0];
      event.currentTarget.setPointerCapture(event.pointerId);
      dragging.current = { step: nearest, first: true };
      moved(event);
      return;
    }
    if (state.tool === "paint" && layout.kind === "plane") {
      event.currentTarget.setPointerCapture(event.pointerId);
      const start = mask ? full(mask) : { shape: layout.size, values: new Uint8Array(layout.size[0] * layout.size[1]).fill(1) };
      painting.current = { ...start, to: event.shiftKey || state.erase ? 1 : 0 };
      dab(event);
    } else if (layout.queries) {
      event.currentTarget.setPointerCapture(event.pointerId);
      look({ query: place(event) });
    }
  };
  const moved = (event) => {
    if (dragging.current) {
      const [x, y] = place(event).map((one) => Number((2 * one - 1).toFixed(3)));
      edit(map.key, "move", { step: dragging.current.step, x, y }, { remember: dragging.current.first });
      dragging.current.first = false;
    } else if (painting.current) dab(event);
    else if (event.buttons && state.tool === "query" && layout?.queries) look({ query: place(event) });
  };
  const up = () => {
    dragging.current = null;
    if (!painting.current) return;
    const { shape, values } = painting.current;
    painting.current = null;
    const off = [...values.keys()].filter((i) => !values[i]);
    edit(map.key, "mask", off.length ? { shape: [...shape], off } : null);
  };
  const keyed = (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || !layout?.queries) return;
    event.preventDefault();
    const [rows, columns] = layout.queries;
    const [x, y] = state.query ?? [0.5, 0.5];
    const clip = (value) => Math.min(0.99999, Math.max(0, value));
    look({ query: [clip(x + by[0] / columns), clip(y + by[1] / rows)] });
  };

  return html`<section class="stage" aria-label="The chosen map">
    <div class=${"picture" + (state.busy ? " busy" : "") + (state.tool === "paint" ? " painting" : "")} style=${{ "--ratio": String(1 / ratio) }}>
      <canvas ref=${below} width=${SIDE} height=${Math.round(SIDE * ratio)} aria-hidden="true" />
      <canvas ref=${above} id="stage" width=${SIDE} height=${Math.round(SIDE * ratio)} tabindex="0" role="application"
        aria-label=${map ? `${map.key} over the photograph; a click or the arrow keys choose the place whose attention is shown` : "no map"}
        onPointerDown=${down} onPointerMove=${moved} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${keyed} />
      ${!photograph && html`<p class="hint">${state.busy ? "Looking …" : "Drop a photograph to see where the network looks."}</p>`}
    </div>
    ${map && html`<${Reading} map=${map} layout=${layout} current=${current} query=${query} scale=${scale} mode=${shownMode} />`}
  </section>`;
}

function full(mask) {
  const values = new Uint8Array(mask.shape[0] * mask.shape[1]).fill(1);
  for (const i of mask.off) values[i] = 0;
  return { shape: mask.shape, values };
}

function Reading({ map, layout, current, query, scale, mode }) {
  const segment = (name, value, options) => html`<div class="segment" role="radiogroup" aria-label=${name}>
    ${options.map(([each, text, disabled]) => html`<button role="radio" aria-checked=${value === each} disabled=${disabled} onClick=${() => set({ [name]: each })}>${text}</button>`)}</div>`;
  const head = headOf(layout);
  const tokens = current?.after.tokens ?? [];
  return html`<div class="reading">
    <div class="line">
      <h1>${map.key}</h1>
      <p class="axes">${map.axes.replace(/^B /, "")} · ${map.shape.join(" × ")}${map.foreign ? " · the network's own" : ""}${map.acts === false ? " · shown only" : ""}</p>
    </div>
    <div class="line controls">
      ${segment("mode", mode, [["after", "After"], ["before", "Before", !current?.before], ["difference", "Difference", !current?.before]])}
      <div class="scale"><span>0</span><canvas ref=${scale} width="128" height="10" role="img" aria-label="Colours of the values" /><span>1</span></div>
    </div>
    <div class="line controls">
      ${layout.parts > 1 && html`<label class="field"><span>${layout.part}</span>
        <input type="range" min="-1" max=${layout.parts - 1} value=${head ?? -1} onInput=${(event) => look({ head: event.target.value < 0 ? null : Number(event.target.value) })} />
        <output>${head === null ? `mean of ${layout.parts}` : `${head + 1} of ${layout.parts}`}</output></label>`}
      ${map.looks.length > 1 && html`<label class="field"><span>look</span>
        <input type="range" min="0" max=${map.looks.length - 1} value=${lookOf(map)} onInput=${(event) => look({ look: Number(event.target.value) })} />
        <output>${lookOf(map) + 1} of ${map.looks.length}</output></label>`}
      <label class="field"><span>strength</span>
        <input type="range" min="0" max="1" step="0.05" value=${state.opacity} onInput=${(event) => set({ opacity: Number(event.target.value) })} /></label>
      <label class="check"><input type="checkbox" checked=${state.smooth} onChange=${(event) => set({ smooth: event.target.checked })} /> smooth</label>
      ${(layout.kind === "plane" || layout.kind === "bars") && html`<label class="check" title="From the smallest to the largest value of this map, which shows small differences"><input type="checkbox" checked=${state.stretch} onChange=${(event) => set({ stretch: event.target.checked })} /> stretch colours</label>`}
    </div>
    <p class="help">${current?.after.even && current.after.values.length > 1 ? html`<b>Even:</b> every value is ${digits(current.after.values[0])}, but for rounding. ` : ""}${layout.queries
      ? query === null
        ? "The mean of all queries: what each place receives. Click a place to see where it looks."
        : html`Where the ring looks. <button class="link" onClick=${() => look({ query: null })}>Show the mean of all queries</button>`
      : layout.kind === "bars" ? "One bar a channel; the white lines of a difference are those before."
      : layout.kind === "plane" ? "One weight a place." : "Places in the order in which they are looked at."}
      ${tokens.length > 0 && html` <span class="tokens">${tokens.map((value, i) => html`<span>${map.tokens?.[i] ?? `token ${i + 1}`} ${digits(value)}</span>`)}</span>`}</p>
  </div>`;
}
