// Deletion and insertion of the chosen map, as they are computed.

import uPlot from "./vendor/uplot.js";
import { html, set, state, chosen, useEffect, useRef, useState } from "./page.js";
import * as api from "./api.js";

const COLOURS = ["--hue1", "--hue0", "--hue2", "--hue3"];

export function Curve() {
  const box = useRef(null);
  const running = useRef(null);
  const [lines, setLines] = useState([]);
  const [kind, setKind] = useState("deletion");
  const on = state.curve;
  const [told, setTold] = useState("");
  const map = chosen();
  const pass = state.result?.pass;
  const key = map?.key;
  const placed = map && map.looks[0].kind === "plane";

  useEffect(() => {
    running.current?.abort();
    if (!on || !pass || !placed) return;
    const control = new AbortController();
    running.current = control;
    const wait = setTimeout(async () => {
      const got = [];
      setTold("computing …");
      try {
        for await (const line of api.faithful({ model: state.model, image: state.image, edits: state.edits, alpha: state.alpha, key }, control.signal)) {
          if (line.error) throw new Error(line.error);
          got.push(line);
          setLines([...got]);
        }
        setTold("");
      } catch (error) {
        if (error.name !== "AbortError") setTold(error.message);
      }
    }, 250); // a slider that is dragged asks once
    return () => {
      clearTimeout(wait);
      control.abort();
    };
  }, [on, pass, key, placed]);

  useEffect(() => {
    if (!box.current || !lines.length || !on) return;
    const ink = resolved("--soft");
    const grid = resolved("--grid");
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, size: 4 }, font: "12px system-ui", size: 38, values: (_, ticks) => ticks.map((tick) => `${Math.round(100 * tick)}`) };
    const shares = lines[0][kind].map((_, i, all) => i / (all.length - 1));
    const plot = new uPlot({
      width: box.current.clientWidth, height: 190, padding: [8, 10, 0, 0], cursor: { y: false }, legend: { show: false },
      scales: { x: { time: false, range: [0, 1] }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high, 0.05)] } },
      axes: [{ ...axis, size: 28 }, axis],
      series: [{}, ...lines.map((line, i) => ({ label: line.name, stroke: resolved(COLOURS[i % COLOURS.length]), width: i ? 1.4 : 2.6, dash: i ? [5, 4] : [], points: { show: false } }))],
    }, [shares, ...lines.map((line) => line[kind])], box.current);
    return () => plot.destroy();
  }, [lines, kind, on, document.documentElement.dataset.theme]);

  if (!state.result) return null;
  const area = (line) => line[kind].reduce((sum, value, i, all) => (i ? sum + (value + all[i - 1]) / 2 / (all.length - 1) : 0), 0);
  return html`<section class="curve" aria-label="Does the map matter">
    <h2>Does the map matter? <label class="check"><input type="checkbox" checked=${on} disabled=${!placed} onChange=${(event) => set({ curve: event.target.checked })} /> curve</label></h2>
    ${on && placed ? html`
      <div class="segment" role="radiogroup" aria-label="Curve">
        ${[["deletion", "Deletion"], ["insertion", "Insertion"]].map(([each, text]) => html`<button role="radio" aria-checked=${kind === each} onClick=${() => setKind(each)}>${text}</button>`)}
      </div>
      <div class="plot" ref=${box} role="img" aria-label=${`${kind} curve`}></div>
      <ul class="key">${lines.map((line, i) => html`<li><i style=${{ background: `var(${COLOURS[i % COLOURS.length]})` }} />${line.name}<b>${area(line).toFixed(3)}</b></li>`)}</ul>
      <p class="help">${told || html`Share of ${lines[0]?.target ?? "the predicted class"}, in percent, against the percentage of places ${kind === "deletion" ? "taken away, the most attended first: a steep fall says that they matter" : "put back, the most attended first: a steep rise says that they matter"}. The numbers are areas.`}</p>`
      : html`<p class="help">${placed ? "Takes the most attended places away and watches the prediction." : "This map has no places that could be taken away."}</p>`}
  </section>`;
}

// A colour that a canvas understands: light-dark() is resolved by an element.
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
