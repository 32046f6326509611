// All maps of the pass, small, each over the photograph.

import { html, state, maps, sliced, look, editsOf, useEffect, useRef } from "./page.js";
import { draw } from "./drawing.js";

function Tile({ map, slice, on }) {
  const canvas = useRef(null);
  const { photograph } = state;
  const ratio = photograph ? photograph.height / photograph.width : 1;
  useEffect(() => {
    if (canvas.current) draw(canvas.current, photograph, slice, { smooth: state.smooth, stretch: state.stretch });
  }, [slice, photograph, state.smooth, state.stretch]);
  const [path, name] = [map.key.slice(0, map.key.lastIndexOf("/") + 1), map.key.slice(map.key.lastIndexOf("/") + 1)];
  const edited = editsOf(map.key).length;
  const wrong = state.findings.filter((finding) => finding.key === map.key).length;
  return html`<li key=${map.key}><button class=${on ? "on" : ""} aria-pressed=${on} title=${map.key} onClick=${() => look({ key: map.key, head: null, look: 0 })}>
    <canvas ref=${canvas} width="168" height=${Math.round(168 * ratio)} role="img" aria-label=${map.key} />
    <span class="name">${name}${edited > 0 && html`<i title="edited">edited</i>`}${wrong > 0 && html`<i class="bad">${wrong} finding${wrong > 1 ? "s" : ""}</i>`}</span>
    <span class="where">${path.replaceAll("/", "").replace(/\.attention$/, "") || "the network"}</span>
  </button></li>`;
}

export function Gallery() {
  const all = maps();
  if (!all.length) return state.result && html`<p class="none">This network shows no attention.</p>`;
  return html`<section class="gallery" aria-label="All maps">
    <h2>All maps <span>${all.length}, first to last</span></h2>
    <ul>${all.map((map) => html`<${Tile} key=${map.key} map=${map} slice=${sliced(map)} on=${map.key === state.key} />`)}</ul>
  </section>`;
}
