"use strict";
// One image in full: before and after, figures, error and weight maps, steps. Its address ends in #image=NAME.

const MARK = "#image=";

function view(name) {
  location.hash = MARK + encodeURIComponent(name);
}

function viewedName() {
  if (!location.hash.startsWith(MARK)) return null;
  try {
    return decodeURIComponent(location.hash.slice(MARK.length));
  } catch {
    return null;
  }
}

function setUpViewer() {
  const leave = () => { if (viewedName() !== null) history.replaceState(null, "", "#images"); };
  byId("viewer").addEventListener("close", leave);
  byId("close").addEventListener("click", () => byId("viewer").close());
  byId("previous").addEventListener("click", () => walk(-1));
  byId("next").addEventListener("click", () => walk(1));
  window.addEventListener("hashchange", followAddress);
}

function walk(step) {
  const { names } = table.run, order = imageOrder().map(image => names[image]);
  const at = order.indexOf(viewedName()) + step;
  if (at >= 0 && at < order.length) location.replace(MARK + encodeURIComponent(order[at]));
}

function followAddress() {
  const name = viewedName(), dialog = byId("viewer");
  if (name === null || !table.run.names.includes(name)) {
    if (dialog.open) dialog.close();
    return;
  }
  const order = imageOrder().map(image => table.run.names[image]), at = order.indexOf(name);
  byId("viewer-title").textContent = `Image ${name}`;
  byId("place").textContent = `${at + 1} of ${order.length}`;
  byId("previous").disabled = at === 0;
  byId("next").disabled = at === order.length - 1;
  byId("viewed").replaceChildren(...viewed(name));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function viewed(name) {
  const found = REPORT.runs.filter(run => run.names.includes(name))
    .map(run => ({ run, image: run.names.indexOf(name) }))
    .map(entry => ({ ...entry, pictures: pictureOf(entry.run, entry.image) }));
  const shown = found.filter(entry => entry.pictures);
  const parts = [make("div", { class: "pair" }, shown.length ? beforeAfter(name, shown) : noPictures(), figuresTable(found))];
  if (shown.length > 1) parts.push(besides(name, shown));
  for (const entry of shown) parts.push(...maps(entry, shown.length > 1), ...steps(entry));
  return parts;
}

function noPictures() {
  const { notice } = table.run;
  return make("p", { class: "soft" }, notice || "No pictures of this image: give its name to --images, or raise --worst.");
}

// Every picture of the image by its title, those of each run and those that all share.
function pictureList(entries) {
  const list = [], several = entries.length > 1;
  for (const part of ["cloudy", "clear"]) if (part in entries[0].pictures) list.push([part, entries[0].pictures[part]]);
  for (const { run, pictures } of entries) {
    const before = several ? `${run.label}: ` : "";
    list.push([before + run.best, pictures.result]);
    if (pictures.baseline in pictures) list.push([before + pictures.baseline, pictures[pictures.baseline]]);
  }
  return list;
}

function beforeAfter(name, entries) {
  const list = pictureList(entries), own = entries.find(entry => entry.run === table.run) || entries[0];
  const titles = list.map(([title], at) => [String(at), title]);
  const right = list.findIndex(([, file]) => file === own.pictures.result);
  const box = make("div"), [one, other] = [make("select"), make("select")];
  options(one, titles, "0");
  options(other, titles, String(right));
  const redraw = () => box.replaceChildren(slider(name, own.pictures.size, list[Number(one.value)], list[Number(other.value)]));
  one.addEventListener("change", redraw);
  other.addEventListener("change", redraw);
  redraw();
  return make("div", {}, make("div", { class: "controls" }, make("label", {}, "Left ", one), make("label", {}, "right ", other)), box,
    make("p", { class: "soft" }, "Drag the line, or use the arrow keys."),
    entries.map(entry => entry.pictures.differs ? make("p", { class: "notice" }, `${entry.run.label}: ${entry.pictures.differs}`) : null));
}

function figuresTable(entries) {
  const columns = entries.flatMap(({ run, image }) => [bestOf(run), ...run.methods.filter(method => method.name !== run.best)]
    .map(method => ({ run, image, method })));
  const rows = METRICS.map((metric, at) => [metric, at]).filter(([metric]) => !metric.detail);
  const heads = columns.map(({ run, method }) => make("th", { scope: "col", class: method.name === run.best ? "own" : null },
    entries.length > 1 ? make("small", {}, run.label) : null, method.name));
  return scrolling("Figures of this image", make("table", { class: "means" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "metric"), heads)),
    make("tbody", {}, rows.map(([metric, at]) => make("tr", {},
      make("th", { scope: "row", title: metric.meaning }, metric.label, " ", make("small", {}, metric.group)),
      columns.map(({ run, image, method }) => make("td", { class: method.name === run.best ? "number own" : "number" },
        written(metric, valueOf(method, image, at)))))))));
}

function framed(file, alt, ...caption) {
  return make("figure", {}, make("img", { src: file, alt, loading: "lazy", class: "grain" }), make("figcaption", {}, caption));
}

function besides(name, entries) {
  const shared = ["cloudy", "clear"].filter(part => part in entries[0].pictures)
    .map(part => framed(entries[0].pictures[part], `Image ${name}: ${part}`, part));
  return make("section", {}, make("h3", {}, "The runs beside each other"), make("div", { class: "frames" }, shared,
    entries.map(({ run, image, pictures }) => framed(pictures.result, `Image ${name}: ${run.label}`, make("b", {}, run.label),
      ` ${withUnit(METRICS[BY], valueOf(bestOf(run), image, BY))}`))));
}

function legend(scale, more = "") {
  const high = `${scale.high} ${scale.unit}`.trim();
  const bar = make("span", { class: "scale", role: "img", "aria-label": `colours from ${scale.low} to ${high}` });
  bar.style.background = `linear-gradient(to right, ${scale.colours.join(", ")})`;
  return make("p", { class: "soft scale-line" }, `${scale.low} `, bar, ` ${high}${more}`);
}

function maps({ run, pictures }, several) {
  const title = several ? `${run.label}: ` : "", parts = [];
  const errors = [["error_result", run.best], [`error_${pictures.baseline}`, pictures.baseline]].filter(([key]) => key in pictures);
  parts.push(make("section", {}, make("h3", {}, `${title}Error`),
    legend(REPORT.legends.error, " or more: |result − clear|, mean of the bands"),
    make("div", { class: "frames" }, errors.map(([key, name]) => framed(pictures[key], `Error of ${name}`, name)),
      pictures.spread ? framed(pictures.spread, pictures.spread_title, pictures.spread_title) : null)));
  if (pictures.maps.length) {
    parts.push(make("section", {}, make("h3", {}, `${title}${pictures.map_title}`),
      legend(REPORT.legends.weight, ", mean of the bands"),
      make("div", { class: "frames" }, pictures.maps.map(map => framed(map.file, `${map.name} at step ${map.step}`,
        `${map.name}, step ${map.step} of ${map.of}, t = ${map.t}: mean ${map.mean.toFixed(2)}`)))));
  }
  return parts;
}

function steps({ run, pictures }) {
  if (!pictures.steps.length) return [];
  const rows = Object.keys(pictures.steps[0].files);
  const grid = make("table", { class: "steps" },
    make("thead", {}, make("tr", {}, make("td"), pictures.steps.map(step =>
      make("th", { scope: "col" }, `step ${step.step} of ${step.of}`, make("small", {}, `t = ${step.t}`))))),
    make("tbody", {}, rows.map(name => make("tr", {},
      make("th", { scope: "row" }, name),
      pictures.steps.map(step => make("td", {}, make("img", { src: step.files[name], alt: `${name} at step ${step.step}`, loading: "lazy" })))))));
  const title = REPORT.runs.length > 1 ? `${run.label}: steps of the sampling` : "Steps of the sampling";
  return [make("section", {}, make("h3", {}, title), scrolling(title, grid),
    pictures.steps_reduced ? make("p", { class: "soft" },
      "Reduced by average, which softens the noise too; name the image after --images to have its steps at full size.") : null)];
}
