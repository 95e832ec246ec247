"use strict";
// What the page is given is data: it becomes text of elements, never markup.
(() => {
  const PAGE = 50;
  const THEMES = { "": "as the system", light: "light", dark: "dark" };
  const COLOURS = ["#2a78d6", "#86b6ef", "#d95926", "#199e70", "#9085e9"];
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // Theme

  const readTheme = () => {
    try { return localStorage.getItem("theme") || ""; } catch { return ""; }
  };
  const setTheme = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    at("theme").textContent = `theme: ${THEMES[theme]}`;
    try { localStorage.setItem("theme", theme); } catch { /* a file may have no storage */ }
    drawGraphs();
  };
  const nextTheme = () => {
    const names = Object.keys(THEMES);
    const now = document.documentElement.dataset.theme || "";
    setTheme(names[(names.indexOf(now) + 1) % names.length]);
  };

  // Curves

  let drawn = [];
  function drawGraphs() {
    const place = at("graphs");
    if (!place) return;
    drawn.forEach((graph) => graph.destroy());
    const ink = getComputedStyle(document.body).color;
    const axis = { stroke: ink, grid: { stroke: "#8883", width: 1 }, ticks: { stroke: "#8885", width: 1 } };
    drawn = data.graphs.map(({ title, names, values }) => {
      const width = Math.min(place.clientWidth, Math.max(320, place.clientWidth / 2 - 16));
      return new uPlot({
        title, width, height: 260,
        scales: { x: { time: false } },
        axes: [{ ...axis, label: "updates" }, { ...axis, size: 70 }],
        series: [{ label: "update" }, ...names.map((name, i) => ({
          label: name, stroke: COLOURS[i % COLOURS.length], width: 1.5, spanGaps: true,
          points: { show: name.startsWith("val/") },
        }))],
      }, values, place);
    });
  }

  // Predictions

  const errorsOf = (row) => row.errors ?? 0;
  const better = (metric) => (data.lower_is_better.includes(metric) ? -1 : 1);
  const orders = [
    { name: "order of the file", by: null },
    ...data.metrics.flatMap((metric) => [
      { name: `${metric}, worst first`, by: (row) => better(metric) * row.scores[metric] },
      { name: `${metric}, best first`, by: (row) => -better(metric) * row.scores[metric] },
    ]),
    { name: "errors, most first", by: (row) => -errorsOf(row) },
    { name: "words, fewest first", by: (row) => row.words },
    { name: "words, most first", by: (row) => -row.words },
    ...(data.other === null ? [] : data.metrics.flatMap((metric) => {
      const gain = (row) => better(metric) * (row.scores[metric] - row.against.scores[metric]);
      return [
        { name: `${metric}, most above ${data.other}`, by: (row) => -gain(row) },
        { name: `${metric}, most below ${data.other}`, by: gain },
      ];
    })),
  ];
  data.rows.forEach((row) => {
    row.searched = [row.id, row.context, row.text, ...row.references, ...row.remarks, row.against?.text ?? ""]
      .join("\n").toLowerCase();
  });

  const choices = (select, values, all) => {
    select.append(element("option", { value: "", textContent: all }));
    values.forEach((value) => select.append(element("option", { value, textContent: value })));
  };
  const distinct = (values) => [...new Set(values)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  orders.forEach((order, i) => at("sort").append(element("option", { value: i, textContent: order.name })));
  const categories = distinct(data.rows.map((row) => row.category).filter((value) => value !== null));
  const parts = distinct(data.rows.flatMap((row) => row.parts));
  const counts = distinct(data.rows.map((row) => row.parts.length));
  choices(at("category"), categories, "all");
  choices(at("part"), parts, "all");
  choices(at("count"), counts, "all");
  const fields = {
    category: categories.length > 1, part: parts.length > 0, count: counts.length > 1,
    seen: data.rows.some((row) => row.seen !== null), errors: data.rows.some((row) => row.errors !== null),
  };
  Object.entries(fields).forEach(([name, has]) => { at(`${name}-field`).hidden = !has; });

  const marked = (text, marks) => {
    const characters = Array.from(text); // as Python counts them
    const pieces = [];
    let end = 0;
    marks.forEach(([from, to, remark]) => {
      if (from < end) return;
      pieces.push(characters.slice(end, from).join(""));
      pieces.push(element("mark", { className: "error", title: remark, textContent: characters.slice(from, to).join("") }));
      end = to;
    });
    pieces.push(characters.slice(end).join(""));
    return pieces;
  };
  const shown = (value) => (typeof value === "number" ? value.toFixed(4) : "–");
  const remarks = (row) => row.remarks.map((remark) => element("span", { className: "remark", textContent: remark }));
  const scoresOf = (scores) => data.metrics.map((metric) => `${metric} ${shown(scores[metric])}`).join(" · ");
  const list = (title, texts) => element("details", {},
    element("summary", { textContent: title }),
    element("ul", {}, ...texts.map((text) => element("li", { textContent: text }))));

  const articleOf = (row) => {
    const about = [row.id, row.category, row.seen === null ? null : row.seen ? "seen" : "unseen"];
    const article = element("article", { tabIndex: 0 },
      element("p", { className: "context", textContent: `${about.filter((part) => part !== null).join(" · ")} · ${row.context}` }),
      element("p", { className: "text" }, ...marked(row.text, row.marks)),
      element("p", {}, ...remarks(row)),
      element("p", { className: "scores", textContent: scoresOf(row.scores) }));
    if (row.against) {
      article.append(
        element("p", { className: "text" }, `${data.other}: `, ...marked(row.against.text, row.against.marks)),
        element("p", {}, ...remarks(row.against)),
        element("p", { className: "scores", textContent: scoresOf(row.against.scores) }));
    }
    article.append(list(`references (${row.references.length})`, row.references));
    if (row.hypotheses.length > 1) {
      article.append(list(`hypotheses (${row.hypotheses.length})`,
        row.hypotheses.map((hypothesis) => `${shown(hypothesis.score)}  ${hypothesis.text}`)));
    }
    return article;
  };

  let kept = [];
  let pages = 1;
  const draw = () => {
    at("rows").replaceChildren(...kept.slice(0, pages * PAGE).map(articleOf));
    at("more").hidden = kept.length <= pages * PAGE;
    at("found").textContent = `${kept.length} of ${data.rows.length} predictions`;
  };
  const choose = () => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [category, part, count, seen] = ["category", "part", "count", "seen"].map((id) => at(id).value);
    const shortest = Number(at("shortest").value || 0);
    const longest = Number(at("longest").value || Infinity);
    kept = data.rows.filter((row) =>
      words.every((word) => row.searched.includes(word)) &&
      (category === "" || row.category === category) &&
      (part === "" || row.parts.includes(part)) &&
      (count === "" || row.parts.length === Number(count)) &&
      (seen === "" || String(row.seen) === seen) &&
      row.words >= shortest && row.words <= longest &&
      (!at("errors").checked || errorsOf(row) > 0));
    const { by } = orders[Number(at("sort").value)];
    if (by) {
      const value = (row) => { const number = by(row); return Number.isFinite(number) ? number : Infinity; };
      kept = kept.map((row) => [value(row), row]).sort((a, b) => a[0] - b[0] || 0).map(([, row]) => row);
    }
    pages = 1;
    draw();
  };

  const step = (by) => {
    const articles = [...at("rows").children];
    const now = articles.indexOf(document.activeElement.closest("article"));
    const next = articles[Math.min(Math.max(now + by, 0), articles.length - 1)];
    if (next) next.focus();
  };
  const KEYS = { "/": () => at("search").focus(), j: () => step(1), k: () => step(-1), t: nextTheme };

  at("filters").addEventListener("input", choose);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", () => setTimeout(choose));
  at("more").addEventListener("click", () => { pages += 1; draw(); });
  at("theme").addEventListener("click", nextTheme);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]), select");
    if (typing && event.key === "Escape") event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  window.addEventListener("resize", drawGraphs);
  setTheme(readTheme());
  choose();
})();
