"use strict";
(() => {
  const root = document.documentElement;
  const dark = JSON.parse(document.getElementById("colours").textContent);
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const darkSystem = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const PHONE = 520, PRINT = 660; // pixels
  let printing = false;
  let chosenTheme = null;

  // Colours ------------------------------------------------------------------------------------
  const isDark = () => !printing && root.dataset.theme === "dark";
  const swap = (value) =>
    Array.isArray(value) ? value.map(swap) : typeof value === "string" ? dark[value] ?? value : value;
  // only what is a colour: a name that reads like one stays
  const coloured = (key, value) => (/color(scale)?$/i.test(key) ? swap(value) : value);

  function setTheme(name) {
    root.dataset.theme = name;
    const button = one('[data-do="theme"]');
    button.setAttribute("aria-pressed", String(name === "dark"));
    items.forEach((item) => item.drawn && draw(item));
  }

  // Figures ------------------------------------------------------------------------------------
  function figure(item, night, narrow) {
    const text = item.figures[item.view].textContent;
    const found = JSON.parse(text, night ? coloured : undefined);
    if (found === null) return found;
    for (const trace of found.data)
      if (trace.meta?.hover) trace.hovertext = trace.text.map((row, r) => row.map((v, c) => over(trace.meta.hover, r, c, v)));
    if (!narrow) return found;
    for (const trace of found.data) Object.assign(trace, trace.meta?.narrow);
    for (const [axis, change] of Object.entries(found.layout.meta?.narrow ?? {}))
      Object.assign(found.layout[axis], change);
    return found;
  }

  function over({ rows, columns, x, said }, r, c, value) {
    const more = said[`${r},${c}`];
    return `<b>${rows[r]}</b><br>${x} ${columns[c]}: ${value}` + (more ? `<br>${more}` : "");
  }

  function draw(item) {
    if (!item.plot) return;
    const width = printing ? PRINT : item.plot.clientWidth;
    item.narrow = width < PHONE;
    const found = figure(item, isDark(), item.narrow);
    item.plot.hidden = found === null;
    item.drawn = true;
    if (found === null) return;
    found.layout.width = width;
    // a finger that scrolls the page must not zoom
    if (matchMedia("(pointer: coarse)").matches) found.layout.dragmode = false;
    Plotly.react(item.plot, found.data, found.layout, { displayModeBar: false });
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        const item = items.find((candidate) => candidate.plot === entry.target);
        if (!item.drawn) draw(item);
      }
    },
    { rootMargin: "600px" },
  );

  // Views --------------------------------------------------------------------------------------
  function setUp(element) {
    const item = {
      element, view: 0, drawn: false, plot: one(".plot", element), table: one(".table", element),
      figures: all("script.figure", element), tables: all("noscript.view", element),
      boxes: all("select", element), ...JSON.parse(one("script.views", element).textContent),
    };
    item.boxes.forEach((box) => box.addEventListener("change", () => choose(item, box)));
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) save(item, button.dataset.do);
    });
    return item;
  }

  function nearest(item, index, value, rest) {
    let best = -1, most = -1;
    item.views.forEach((view, i) => {
      if (view.at[index] !== value) return;
      const same = view.at.filter((v, k) => v === rest[k]).length;
      if (same > most) [best, most] = [i, same];
    });
    return best;
  }

  function choose(item, box) {
    const index = Number(box.dataset.switch), value = Number(box.value);
    const { name, values } = item.switches[index];
    const wanted = [...item.views[item.view].at];
    wanted[index] = value;
    show(item, nearest(item, index, value, wanted));
    const got = item.views[item.view].at;
    const moved = item.switches.filter((_, k) => got[k] !== wanted[k]);
    one(".moved", item.element).textContent = moved.length
      ? `Not there with ${values[value]}; nearest: ` +
        moved.map((s) => `${s.name} ${s.values[got[item.switches.indexOf(s)]]}`).join(", ")
      : "";
    for (const other of items) {
      if (other === item) continue;
      const k = other.switches.findIndex((s) => s.name === name);
      const v = k < 0 ? -1 : other.switches[k].values.indexOf(values[value]);
      if (v < 0 || other.views[other.view].at[k] === v) continue;
      const rest = [...other.views[other.view].at];
      rest[k] = v;
      one(".moved", other.element).textContent = "";
      show(other, nearest(other, k, v, rest));
    }
  }

  function show(item, view) {
    item.view = view;
    // what is below must not move away from under a finger when the figure is drawn
    if (item.plot) item.plot.style.minHeight = `${item.views[view].height}px`;
    for (const box of item.boxes) {
      box.value = item.views[view].at[Number(box.dataset.switch)];
      box.parentElement.dataset.said = box.selectedOptions[0].textContent; // for print
    }
    // what stands in noscript was written with all text escaped
    const holder = document.createElement("div");
    holder.innerHTML = item.tables[view].textContent;
    item.table.replaceChildren(one(".scroll", holder));
    sortable(item);
    const note = one(":scope > .note", item.element), words = one(".note", holder);
    note.textContent = words ? words.textContent : "";
    note.hidden = !words;
    const title = one("summary", item.element);
    if (title) title.textContent = `Data: ${item.rows.length} rows`;
    if (item.drawn) draw(item);
  }

  // Tables -------------------------------------------------------------------------------------
  function sortable(item) {
    const body = one("tbody", item.table);
    item.rows = [...body.rows];
    item.head = all("th", item.table);
    item.names = item.head.map((th) => th.textContent);
    item.head.forEach((th, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = item.names[k];
      th.replaceChildren(button);
      th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = th.getAttribute("aria-sort") !== "ascending";
        item.head.forEach((t) => t.setAttribute("aria-sort", "none"));
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        body.append(...[...item.rows].sort((a, b) => order(a.cells[k], b.cells[k], up ? 1 : -1)));
      });
    });
  }

  const number = (cell) => (cell.dataset.v === undefined ? NaN : Number(cell.dataset.v));
  const none = (cell) => cell.classList.contains("none") || cell.dataset.v === "NaN";

  function order(a, b, sign) {
    if (none(a) || none(b)) return none(a) - none(b); // last, whichever way
    const x = number(a), y = number(b);
    if (!isNaN(x) && !isNaN(y)) return sign * (x < y ? -1 : x > y ? 1 : 0);
    if (isNaN(x) !== isNaN(y)) return sign * (isNaN(x) - isNaN(y)); // numbers before words
    return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  }

  function csv(item) {
    const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const safe = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
    const cell = (td) =>
      none(td) ? "" : td.dataset.v !== undefined ? td.dataset.v : quoted(safe(td.textContent));
    const lines = [item.names.map((name) => quoted(safe(name))).join(",")];
    for (const row of item.rows) lines.push([...row.cells].map(cell).join(","));
    return lines.join("\n") + "\n";
  }

  // Files --------------------------------------------------------------------------------------
  function download(name, url) {
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
  }

  async function save(item, kind) {
    const { file, title } = item.views[item.view];
    if (kind === "csv") {
      const url = URL.createObjectURL(new Blob([csv(item)], { type: "text/csv" }));
      download(`${file}.csv`, url);
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      return;
    }
    const found = figure(item, false, false);
    if (found === null) return;
    found.layout.title = { text: title, x: 0.01, xanchor: "left", font: { size: 15 }, yref: "container", y: 0.98, yanchor: "top" };
    found.layout.margin.t += 32;
    const size = { width: 1000, height: found.layout.height + 32 };
    Object.assign(found.layout, size);
    download(`${file}.${kind}`, await Plotly.toImage(found, { format: kind, scale: 2, ...size }));
  }

  async function copy() {
    const text = one("#card-text"), said = one(".copied");
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "Copied.";
      return;
    } catch { /* no clipboard here, as in a file opened from a disk */ }
    const area = document.createElement("textarea");
    area.className = "away";
    area.value = text.textContent;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) getSelection().selectAllChildren(text);
    said.textContent = done ? "Copied." : "Selected: copy it with Ctrl+C or Cmd+C.";
  }

  // Start --------------------------------------------------------------------------------------
  root.classList.remove("plain");
  const items = all(".item").map(setUp);
  items.forEach((item) => {
    show(item, 0);
    if (item.plot) near.observe(item.plot);
  });
  setTheme(darkSystem.matches ? "dark" : "light");
  darkSystem.addEventListener("change", () => chosenTheme ?? setTheme(darkSystem.matches ? "dark" : "light"));
  one('[data-do="theme"]').addEventListener("click", () => {
    chosenTheme = root.dataset.theme === "dark" ? "light" : "dark";
    setTheme(chosenTheme);
  });
  one('[data-do="copy"]')?.addEventListener("click", copy);

  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => printing || items.forEach((item) => item.drawn && draw(item)), 120);
  });
  function print(on) {
    if (printing === on) return;
    printing = on;
    items.forEach((item) => draw(item));
  }
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  paper.addEventListener("change", () => print(paper.matches));
})();
