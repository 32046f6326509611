"use strict";
{
  const root = document.documentElement;
  const get = (id) => document.getElementById(id);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const make = (tag, text, name) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  };

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

  // Copying a command; where the browser gives no clipboard, the text is selected and copied.
  const copied = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      return document.execCommand("copy");
    }
  };
  for (const button of all("[data-copy]")) {
    const label = button.innerHTML;
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.textContent = (await copied(get(button.dataset.copy))) ? "Copied" : "Selected";
      setTimeout(() => { button.innerHTML = label; }, 1600);
    });
  }

  // Sorting: best first, then reversed; rows without the figure stay last.
  const table = get("table");
  const body = table.tBodies[0];
  for (const button of all("[data-sort]", table)) {
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
    for (const each of all(".plot [data-m]")) each.classList.toggle("on", each.dataset.m === name);
  };
  for (const each of all(".plot [data-m], .legend [data-m], .contrasts [data-m], tbody [data-m]")) {
    each.addEventListener("pointerenter", () => light(each.dataset.m));
    each.addEventListener("pointerleave", () => light(held));
  }
  const lights = all("[data-light]");
  for (const button of lights) {
    button.addEventListener("click", () => {
      held = held === button.dataset.m ? null : button.dataset.m;
      for (const each of lights) each.setAttribute("aria-pressed", String(each.dataset.m === held));
      light(held);
    });
  }

  // Which classes are taken for which, from the results that the page carries for download.
  const confusion = get("confusion");
  if (confusion) {
    const content = atob(get("json").href.split(",")[1]);
    const results = JSON.parse(new TextDecoder().decode(Uint8Array.from(content, (letter) => letter.charCodeAt(0))));
    const names = results.run.classes || [];
    const called = (index) => names[index] ?? `class ${index}`;
    const choice = get("confused");
    const most = 20;
    const draw = () => {
      const row = results.rows.find((each) => each.name === choice.value);
      const counts = new Map(row.answers.map(([label, answer, count]) => [`${label} ${answer}`, count]));
      const classes = [...new Set(row.answers.flatMap(([label, answer]) => [label, answer]))].sort((a, b) => a - b);
      const [frame, grid, list] = [confusion.querySelector(".scroll"), confusion.querySelector("table"), confusion.querySelector("ol")];
      const of = (label, answer) => counts.get(`${label} ${answer}`) ?? 0;
      const total = (label) => row.answers.reduce((sum, [own, , count]) => sum + (own === label ? count : 0), 0);
      const square = classes.length <= most;
      frame.hidden = !square;
      if (square) {
        const head = make("tr");
        head.append(make("th", "is / answered"), ...classes.map((answer) => make("th", called(answer), "class")));
        for (const cell of head.cells) cell.scope = "col";
        const lines = classes.map((label) => {
          const line = make("tr");
          const title = make("th", called(label), "class");
          title.scope = "row";
          line.append(title);
          for (const answer of classes) {
            const count = of(label, answer);
            const cell = make("td", count || "·", count ? (label === answer ? "hit" : "miss") : "");
            if (count) cell.style.setProperty("--d", (count / total(label)).toFixed(2));
            line.append(cell);
          }
          return line;
        });
        const [top, rest] = [make("thead"), make("tbody")];
        top.append(head);
        rest.append(...lines);
        grid.replaceChildren(top, rest);
      }
      const wrong = row.answers.filter(([label, answer]) => label !== answer).slice(0, square ? 0 : most);
      list.hidden = square;
      list.replaceChildren(...wrong.map(([label, answer, count]) => make("li", `${called(label)} taken for ${called(answer)}: ${count} of ${total(label)}`)));
      confusion.querySelector(".key").textContent = square
        ? "Rows are the true classes, columns the answers; test images, over all seeds."
        : "The commonest wrong answers; test images, over all seeds.";
    };
    choice.addEventListener("change", draw);
    confusion.hidden = false;
    draw();
  }

  // The gallery: which maps, how strong, of which images, and one of them enlarged.
  const gallery = get("gallery");
  if (gallery) {
    const shots = gallery.querySelector(".shots");
    const [slider, label, disputed, more] = ["opacity", "class", "disputed", "more"].map(get);
    let everything = !more;
    const fade = () => gallery.style.setProperty("--opacity", slider.value / 100);
    const filter = () => {
      const filtered = Boolean(label?.value || disputed?.checked);
      let shown = 0;
      for (const shot of all(".shot", shots)) {
        const fits = (!label?.value || shot.dataset.label === label.value) && (!disputed?.checked || "disputed" in shot.dataset);
        shot.hidden = !fits || (!filtered && !everything && "later" in shot.dataset);
        shown += !shot.hidden;
      }
      gallery.querySelector(".empty").hidden = shown > 0;
      if (more) more.hidden = filtered || everything;
    };
    slider.addEventListener("input", fade);
    label?.addEventListener("change", filter);
    disputed?.addEventListener("change", filter);
    more?.addEventListener("click", () => { everything = true; filter(); });
    get("outlines")?.addEventListener("change", (event) => gallery.classList.toggle("bare", !event.target.checked));
    const kinds = all("[data-kind]", gallery.querySelector(".controls"));
    for (const button of kinds) {
      button.addEventListener("click", () => {
        shots.dataset.kind = button.dataset.kind;
        for (const each of kinds) each.setAttribute("aria-pressed", String(each === button));
      });
    }
    gallery.querySelector(".controls").hidden = false;
    fade();
    filter();

    const close = get("close-up");
    let opened = null;
    const enlarge = (button) => {
      opened = button;
      const [tile, shot] = [button.closest("li"), button.closest(".shot")];
      const stage = close.querySelector(".stage");
      stage.className = `stage shots ${tile.className}`;
      stage.dataset.kind = shots.dataset.kind;
      stage.replaceChildren(button.querySelector("svg").cloneNode(true));
      const caption = close.querySelector(".caption");
      caption.className = `caption shots ${tile.className}`;
      caption.dataset.kind = shots.dataset.kind;
      caption.replaceChildren(shot.querySelector("h3").cloneNode(true), ...all("p", tile).map((each) => each.cloneNode(true)));
      if (!close.open) close.showModal();
    };
    const turn = (step) => {
      const buttons = all(".shot:not([hidden]) .open", shots);
      enlarge(buttons[(buttons.indexOf(opened) + step + buttons.length) % buttons.length]);
    };
    for (const button of all(".open", shots)) button.addEventListener("click", () => enlarge(button));
    for (const button of all("[data-turn]", close)) {
      const step = Number(button.dataset.turn);
      button.addEventListener("click", () => (step ? turn(step) : close.close()));
    }
    close.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) turn(step);
    });
    close.addEventListener("click", (event) => { if (event.target === close) close.close(); });
    close.addEventListener("close", () => opened?.focus());
  }
}
