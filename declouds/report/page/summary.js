"use strict";
// What the runs come to: one sentence a run, and a table a protocol.

function drawSummary() {
  byId("verdict").replaceChildren(...REPORT.runs.map(verdict));
  byId("tables").replaceChildren(...REPORT.protocols.map((protocol, at) => protocolTable(protocol, at === 0)));
}

function verdict(run) {
  const metric = METRICS[BY], mean = bestOf(run).summary[BY];
  const line = make("p", { class: "verdict" },
    REPORT.runs.length > 1 ? make("b", {}, run.label + ": ") : null,
    `${run.best} reaches `, make("strong", {}, withUnit(metric, number(mean[0]))),
    ` ${interval(metric, mean)} in ${metric.label} (${metric.group}), the mean of ${mean[3]} ${mean[3] === 1 ? "image" : "images"}. `);
  const own = run.differences.find(found => found.b === run.baseline) || run.differences[0];
  const others = REPORT.across.filter(found => found.a === run.label);
  for (const found of [own, ...others].filter(Boolean)) line.append(told(metric, found));
  return line;
}

function told(metric, found) {
  const estimate = found.summary[BY];
  if (!estimate || Number.isNaN(number(estimate[0]))) return "";
  const value = number(estimate[0]);
  const word = !isClear(estimate) ? "no clear difference on these images" : badness(metric, value, true) < 0 ? "better" : "worse";
  return `${withUnit(metric, value, true)} ${interval(metric, estimate, true)} against ${found.b}: ${word}. `;
}

function protocolTable(protocol, open) {
  const columns = REPORT.runs.flatMap(run => [
    ...run.methods.map(method => ({ run, title: method.name, summary: method.summary, best: method.name === run.best })),
    ...run.differences.map(found => ({ run, title: `${found.a} − ${found.b}`, summary: found.summary, sign: true })),
  ]);
  for (const found of REPORT.across) columns.push({ title: `${found.a} − ${found.b}`, summary: found.summary, sign: true });
  const rows = METRICS.map((metric, at) => [metric, at]).filter(([metric]) => metric.group === protocol.name);
  const head = [make("tr", {}, make("th", { scope: "col" }, "metric"), make("th", { scope: "col", class: "direction" }, "better"),
    ...columns.map(column => make("th", { scope: "col", class: column.best ? "own" : null }, column.title)))];
  if (REPORT.runs.length > 1) head.unshift(runHeads(columns));
  const table = make("table", { class: "means" },
    make("caption", { class: "hidden" }, `Means in the protocol ${protocol.name}`),
    make("thead", {}, head),
    make("tbody", {}, rows.map(([metric, at]) => make("tr", { class: metric.detail ? "detail" : null },
      make("th", { scope: "row", title: metric.meaning }, metric.label),
      make("td", { class: "soft" }, metric.better),
      ...columns.map(column => meanCell(metric, column, column.summary[at]))))));
  return make("details", { open }, make("summary", {}, make("h3", {}, protocol.name)),
    make("p", { class: "soft" }, protocol.text + "."), scrolling(`Means, ${protocol.name}`, table), leftOut(columns, rows));
}

function runHeads(columns) {
  const cells = [make("td", { colspan: 2 })];
  for (const run of REPORT.runs) {
    cells.push(make("th", { scope: "colgroup", colspan: columns.filter(column => column.run === run).length }, run.label));
  }
  if (REPORT.across.length) cells.push(make("th", { scope: "colgroup", colspan: REPORT.across.length }, "between runs"));
  return make("tr", {}, cells);
}

function meanCell(metric, column, estimate) {
  if (!estimate || Number.isNaN(number(estimate[0]))) return make("td", { class: "number" }, "–");
  const text = written(metric, number(estimate[0]), column.sign);
  const mean = column.sign && isClear(estimate) ? make("strong", {}, text) : make("span", {}, text);
  return make("td", { class: column.best ? "number own" : "number" }, mean, make("small", {}, interval(metric, estimate, column.sign)));
}

// Means that rest on fewer images than there are.
function leftOut(columns, rows) {
  const notes = [];
  for (const column of columns) for (const [metric, at] of rows) {
    const [, , , , infinite, missing] = column.summary[at] || [0, 0, 0, 0, 0, 0];
    const where = `${column.run && REPORT.runs.length > 1 ? column.run.label + ", " : ""}${column.title}, ${metric.label}`;
    if (infinite) notes.push(`${where}: ${infinite} without any error (infinite)`);
    if (missing) notes.push(`${where}: ${missing} for which it is not defined`);
  }
  return notes.length ? make("details", { class: "notes" }, make("summary", {}, "Images left out of a mean"),
    make("ul", {}, notes.map(note => make("li", {}, note)))) : null;
}
