// The photographs in memory, and where new ones are dropped.

import { html, state, show, add, forget, useEffect, useRef } from "./page.js";

export function Photographs() {
  const input = useRef(null);
  const images = state.catalogue?.images ?? [];
  return html`<section class="photographs" aria-label="Photographs">
    <h2>Photographs</h2>
    <button class="drop" onClick=${() => input.current.click()}>
      <b>Drop photographs</b> anywhere, or choose files
    </button>
    <input ref=${input} id="files" type="file" accept="image/*" multiple hidden
      onChange=${(event) => { add(event.target.files); event.target.value = ""; }} />
    <ul>${images.map((image) => html`<li key=${image.id}>
      <button class=${"photo" + (image.id === state.image ? " on" : "")} aria-pressed=${image.id === state.image} title=${`${image.name}, ${image.width} × ${image.height}`}
        onClick=${() => show({ image: image.id })}>
        <${Thumbnail} id=${image.id} name=${image.name} />
        <span>${image.name}</span>
      </button></li>`)}</ul>
    ${images.length > 0 && html`<button class="quiet" onClick=${forget}>Forget all photographs</button>`}
  </section>`;
}

export function Thumbnail({ id, name }) {
  const canvas = useRef(null);
  const bitmap = state.thumbnails.get(id);
  useEffect(() => {
    if (bitmap && canvas.current) canvas.current.getContext("2d").drawImage(bitmap, 0, 0, canvas.current.width, canvas.current.height);
  }, [bitmap]);
  return html`<canvas ref=${canvas} width="112" height="112" role=${name ? "img" : "presentation"} aria-label=${name || null} />`;
}
