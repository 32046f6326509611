// What the doctor finds, of the chosen map first.

import { html, state, set, chosen, look } from "./page.js";
import * as api from "./api.js";

export function Findings() {
  if (!state.result || state.catalogue.doctor === false) return null;
  const ask = async () => {
    set({ examining: true });
    try {
      const { findings } = await api.doctor({ model: state.model, image: state.image });
      set({ findings, examining: false, examined: true });
    } catch (error) {
      set({ error: error.message, examining: false });
    }
  };
  const key = chosen()?.key;
  const sorted = [...state.findings].sort((a, b) => (b.key === key) - (a.key === key));
  return html`<section class="findings" aria-label="Findings">
    <h2>Doctor <span class="buttons"><button disabled=${state.examining} onClick=${ask}>${state.examining ? "Examining …" : "Examine"}</button></span></h2>
    ${sorted.length > 0
      ? html`<ul>${sorted.map((one) => html`<li class=${one.level + (one.key === key ? " here" : "")}>
          <button class="link" onClick=${() => one.key && look({ key: one.key, head: null, look: 0 })}><b>${one.check}</b> ${one.key || one.module}</button>
          <p>${one.text}</p></li>`)}</ul>`
      : html`<p class="help">${state.examined ? "Nothing was found." : "Looks for faults of the attention, such as saturated gates or maps that are the same for every image."}</p>`}
  </section>`;
}
