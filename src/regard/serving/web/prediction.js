// The most likely classes, before and after.

import { html, state } from "./page.js";

const SHOWN = 6;
const percent = (share) => (share === undefined ? "–" : share >= 0.9995 ? ">99.9" : (100 * share).toFixed(1));

export function Prediction() {
  const { result, before } = state;
  if (!result) return null;
  const after = new Map(result.prediction.map((one) => [one.index, one]));
  const was = new Map((before?.prediction ?? []).map((one) => [one.index, one]));
  const both = [...new Map([...was, ...after]).values()].map((one) => ({
    ...one, after: after.get(one.index)?.share, before: was.get(one.index)?.share,
  }));
  both.sort((a, b) => Math.max(b.after ?? 0, b.before ?? 0) - Math.max(a.after ?? 0, a.before ?? 0));
  const changed = before && before.pass !== result.pass;
  const best = result.prediction[0]?.index;
  return html`<section class="prediction" aria-label="Prediction">
    <h2>Prediction ${both.length > 0 && html`<span>${result.of === "pixels" ? "percent of the pixels" : "percent"}</span>`}</h2>
    ${both.length ? html`<ol>${both.slice(0, SHOWN).map((one) => html`<li key=${one.index} class=${one.index === best ? "best" : ""}>
      <span class="class">${one.name}</span>
      <span class="figure">${percent(one.after)}${changed && html`<small>${difference(one)}</small>`}</span>
      <span class="track"><i style=${{ width: `${100 * (one.after ?? 0)}%` }} />${changed && html`<b style=${{ left: `${100 * (one.before ?? 0)}%` }} title="before" />`}</span>
    </li>`)}</ol>` : html`<p class="help">This network gives no classes.</p>`}
    <p class="help time">${changed ? html`The line marks the share before. ` : ""}forward ${(1000 * result.forward).toFixed(0)} ms${state.trip && changed ? `, round trip ${state.trip.toFixed(0)} ms` : ""}</p>
  </section>`;
}

function difference(one) {
  const points = 100 * ((one.after ?? 0) - (one.before ?? 0));
  return Math.abs(points) < 0.05 ? " ±0" : ` ${points > 0 ? "+" : "−"}${Math.abs(points).toFixed(1)}`;
}
