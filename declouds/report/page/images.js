"use strict";
// Every image of the chosen run with every metric, in any order.

const LEFT_OUT = "detail";  // the group of columns of single bands and of some pixels
const table = { run: null, method: "", minus: "", sort: BY, direction: -1, all: false, groups: new Set() };
// direction -1: the worst first; sort -1: by name

function columnGroups() {
  const groups = [...new Set(METRICS.map(metric => metric.group))];
  return METRICS.some(metric => metric.detail) ? [...groups, LEFT_OUT] : groups;
}

function setUpImages() {
  for (const group of columnGroups()) {
    if (group !== LEFT_OUT) table.groups.add(group);
    const box = make("input", { type: "checkbox", checked: group !== LEFT_OUT, onchange: event => {
      table.groups[event.target.checked ? "add" : "delete"](group);
      drawImages();
    } });
    byId("groups").append(make("label", {}, box, group === LEFT_OUT ? "per band, pixels" : group));
  }
  byId("method").addEventListener("change", event => { table.method = event.target.value; drawImages(); });
  byId("minus").addEventListener("change", event => { table.minus = event.target.value; drawImages(); });
  byId("all").addEventListener("click", () => { table.all = !table.all; drawImages(); });
}

function chooseRun(run) {
  table.run = run;
  table.method = methodOf(run, table.method) ? table.method : run.best;
  table.minus = methodOf(run, table.minus) ? table.minus : "";
  const names = run.methods.map(method => [method.name, method.name]);
  options(byId("method"), names, table.method);
  options(byId("minus"), [["", "nothing"], ...names], table.minus);
  drawImages();
}

function shownValue(image, at) {
  const value = valueOf(methodOf(table.run, table.method), image, at), metric = METRICS[at];
  if (!table.minus || !metric.better) return value;
  return difference(metric, value, valueOf(methodOf(table.run, table.minus), image, at));
}

function imageOrder() {
  const { names } = table.run;
  if (table.sort < 0) {
    return names.map((_, at) => at).sort((a, b) => table.direction * -names[a].localeCompare(names[b], "en", { numeric: true }));
  }
  return ordered(names.map((_, image) => badness(METRICS[table.sort], shownValue(image, table.sort), Boolean(table.minus))), table.direction);
}

function sortBy(at) {
  table.direction = table.sort === at ? -table.direction : -1;
  table.sort = at;
  drawImages();
  byId("rows").querySelector(`[data-sort="${at}"]`).focus();
}

// What the order means for the numbers in the column, as screen readers are told.
function ariaSort(at) {
  if (at !== table.sort) return null;
  const ascending = at < 0 ? table.direction < 0 : (METRICS[at].better === "higher") === (table.direction < 0);
  return ascending ? "ascending" : "descending";
}

function drawImages() {
  const columns = METRICS.map((metric, at) => at).filter(at =>
    table.groups.has(METRICS[at].group) && (!METRICS[at].detail || table.groups.has(LEFT_OUT)));
  const order = imageOrder(), shown = table.all ? order : order.slice(0, REPORT.worst);
  byId("rows").tHead.replaceChildren(groupHeads(columns), make("tr", {}, [-1, ...columns].map(columnHead)));
  byId("rows").tBodies[0].replaceChildren(...shown.map(image => imageRow(image, columns)));
  byId("all").hidden = order.length <= REPORT.worst;
  byId("all").textContent = table.all ? `Show the first ${REPORT.worst} only` : `Show all ${order.length} images`;
  byId("images-title").textContent = `All ${order.length} images`;
  byId("order").textContent = orderInWords(shown.length, order.length);
}

function orderInWords(shown, all) {
  const what = table.method + (table.minus ? ` − ${table.minus}` : "");
  const metric = METRICS[table.sort];
  const first = metric && !metric.better ? ["the most", "the least"] : ["the worst", "the best"];
  const by = metric ? `${first[table.direction < 0 ? 0 : 1]} ${metric.label} (${metric.group}) first` : "by name";
  return `${what}: ${shown < all ? `${shown} of ${all} images` : `${all} images`}, ${by}. A column's head sorts by it.`;
}

function groupHeads(columns) {
  const cells = [make("td", { class: "name" })];
  for (const at of columns) {
    const last = cells[cells.length - 1];
    if (last.textContent === METRICS[at].group) last.colSpan += 1;
    else cells.push(make("th", { scope: "colgroup" }, METRICS[at].group));
  }
  return make("tr", { class: "groups" }, cells);
}

function columnHead(at) {
  const metric = METRICS[at], sort = ariaSort(at);
  const mark = sort === null ? "" : sort === "ascending" ? "▲" : "▼";
  return make("th", { scope: "col", "aria-sort": sort, class: at < 0 ? "name" : null },
    make("button", { type: "button", "data-sort": at, title: metric ? metric.meaning : null, onclick: () => sortBy(at) },
      metric ? metric.label : "image", make("span", { class: "mark", "aria-hidden": "true" }, mark)));
}

function imageRow(image, columns) {
  const name = table.run.names[image], found = pictureOf(table.run, image);
  return make("tr", {},
    make("th", { scope: "row", class: "name" }, make("button", { type: "button", class: "link", onclick: () => view(name) },
      found ? make("img", { class: "thumb", src: found.result, alt: "", loading: "lazy" }) : null, name)),
    columns.map(at => make("td", { class: at === table.sort ? "number own" : "number" },
      written(METRICS[at], shownValue(image, at), Boolean(table.minus) && Boolean(METRICS[at].better)))));
}
