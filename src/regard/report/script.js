"use strict";
{
  const root = document.documentElement;
  const get = (id) => document.getElementById(id);

  // Light and dark: the system's choice until the reader makes one.
  const theme = get("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const named = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  try { root.dataset.theme = localStorage.getItem("regard-theme") || ""; } catch { /* no storage: the system's choice */ }
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("regard-theme", root.dataset.theme); } catch { /* kept for this page only */ }
    named();
  });
  system.addEventListener("change", named);
  theme.hidden = false;
  named();

  // Sorting: best first, then reversed; rows without the figure stay last.
  const table = get("table");
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const column = head.cellIndex;
      const first = head.dataset.best === "1" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const of = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => (head.dataset.best ? a - b : a.localeCompare(b));
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [of(a), of(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return sign * compare(x, y);
      });
      body.append(...rows);
    });
  }

  // Pointing at a row, a point or a line brings the same row forward in every plot.
  let held = null;
  const light = (name) => {
    root.classList.toggle("lit", name !== null);
    for (const each of document.querySelectorAll(".plot [data-m]")) each.classList.toggle("on", each.dataset.m === name);
  };
  for (const each of document.querySelectorAll(".plot [data-m], .legend [data-m], .verdicts [data-m], tbody [data-m]")) {
    each.addEventListener("pointerenter", () => light(each.dataset.m));
    each.addEventListener("pointerleave", () => light(held));
  }
  const lights = [...document.querySelectorAll("[data-light]")];
  for (const button of lights) {
    button.addEventListener("click", () => {
      held = held === button.dataset.m ? null : button.dataset.m;
      for (const each of lights) each.setAttribute("aria-pressed", String(each.dataset.m === held));
      light(held);
    });
  }

  // The gallery: maps over the images, or the images alone.
  const gallery = get("gallery");
  if (gallery) {
    const slider = get("opacity");
    const alone = get("alone");
    let before = slider.value;
    const show = () => {
      gallery.style.setProperty("--opacity", slider.value / 100);
      alone.setAttribute("aria-pressed", String(slider.value === "0"));
    };
    slider.addEventListener("input", show);
    alone.addEventListener("click", () => {
      if (slider.value === "0") {
        slider.value = before === "0" ? "65" : before;
      } else {
        before = slider.value;
        slider.value = "0";
      }
      show();
    });
    get("outlines")?.addEventListener("change", (event) => gallery.classList.toggle("bare", !event.target.checked));
    get("disputed")?.addEventListener("change", (event) => gallery.classList.toggle("disputes", event.target.checked));
    gallery.querySelector(".controls").hidden = false;
    show();
  }
}
