"use strict";
// Training curves: a chart a stage, a line a run.

const PLOT = { width: 340, height: 190, left: 48, right: 10, top: 8, bottom: 26 };

// Runs that share one training, measured in several ways, are one line.
function trainings() {
  const found = [];
  for (const run of REPORT.runs.filter(run => run.curves.length)) {
    const known = found.find(training => training.folder === run.training);
    if (known) known.label += `, ${run.label}`;
    else found.push({ folder: run.training, label: run.label, curves: run.curves });
  }
  return found;
}

const TRAININGS = trainings();

function drawCurves() {
  const stages = [...new Set(TRAININGS.flatMap(run => run.curves.map(curve => curve.stage)))];
  byId("curves").replaceChildren(...stages.map(stageCard));
  if (!stages.length) byId("curves").append(make("p", { class: "soft" }, "There are no logs of the training beside these scores."));
  byId("legend").replaceChildren(...(TRAININGS.length > 1 ? TRAININGS.map((run, at) => make("span", { class: `key line${at % 6}` }, run.label)) : []));
}

function stageCard(stage) {
  const found = TRAININGS.map((run, at) => [run, at, run.curves.find(curve => curve.stage === stage)]).filter(([, , curve]) => curve);
  const names = part => [...new Set(found.flatMap(([, , curve]) => Object.keys(curve[part])))];
  const lines = (part, name) => found.filter(([, , curve]) => curve[part][name]).map(([run, at, curve]) => ({ run, at, points: curve[part][name] }));
  const notes = found.filter(([, , curve]) => curve.trained_in).map(([run, , curve]) => `${run.label}: trained in ${curve.trained_in}`);
  return make("article", { class: "card" }, make("h3", {}, stage),
    names("losses").map(name => chart(name.replaceAll("_", " "), lines("losses", name), true)),
    names("validations").map(name => {
      const drawn = lines("validations", name), title = `validation, ${name.replace("/", " ")}`;
      if (drawn.some(line => line.points.length > 1)) return chart(title, drawn, false);
      return make("p", { class: "readout" }, `${title}: `, drawn.map(line => lineInWords(line, line.points[0])).join("; "));
    }),
    notes.map(note => make("p", { class: "soft path" }, note)));
}

function lineInWords(line, [at, value]) {
  const name = TRAININGS.length > 1 ? `${line.run.label} ` : "";
  return `${name}${value.toPrecision(4)} at iteration ${at}`;
}

function chart(title, lines, logarithmic) {
  const points = lines.flatMap(line => line.points), log = logarithmic && points.every(([, value]) => value > 0);
  const scale = log ? Math.log10 : value => value;
  const last = Math.max(...points.map(([at]) => at)), heights = points.map(([, value]) => scale(value));
  let [low, high] = [Math.min(...heights), Math.max(...heights)];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const x = at => PLOT.left + (PLOT.width - PLOT.left - PLOT.right) * (last ? at / last : 0);
  const y = value => PLOT.height - PLOT.bottom - (PLOT.height - PLOT.top - PLOT.bottom) * (scale(value) - low) / (high - low);
  const parts = [];
  for (const value of ticks(low, high, log)) {
    parts.push(draw("line", { class: "grid", x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: y(value), y2: y(value) }),
      draw("text", { x: PLOT.left - 6, y: y(value) + 4, "text-anchor": "end" }, String(Number(value.toPrecision(3)))));
  }
  for (const at of new Set([0, Math.round(last / 2), last])) {
    parts.push(draw("text", { x: x(at), y: PLOT.height - 8, "text-anchor": at === last ? "end" : at ? "middle" : "start" }, String(at)));
  }
  for (const line of lines) {
    const style = `line${line.at % 6}`;
    parts.push(draw("polyline", { class: style, points: line.points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
    if (line.points.length < 12) line.points.forEach(([at, value]) => parts.push(draw("circle", { class: style, cx: x(at), cy: y(value), r: 2.5 })));
  }
  const cursor = draw("line", { class: "cursor", y1: PLOT.top, y2: PLOT.height - PLOT.bottom, visibility: "hidden" });
  const svg = draw("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", tabindex: 0,
    "aria-label": `${title}: ${lines.map(line => lineInWords(line, line.points[line.points.length - 1])).join("; ")}` }, parts, cursor);
  const readout = make("span", { class: "readout" }, lines.map(line => lineInWords(line, line.points[line.points.length - 1])).join("; "));
  readAlong(svg, cursor, readout, lines, x);
  return make("figure", { class: "chart" }, make("figcaption", {}, make("b", {}, title), log ? " (logarithmic)" : "", make("br"), readout), svg);
}

// Tells the values under the pointer; by keyboard, the arrow keys go from point to point.
function readAlong(svg, cursor, readout, lines, x) {
  const iterations = [...new Set(lines.flatMap(line => line.points.map(([at]) => at)))].sort((a, b) => a - b);
  let place = iterations.length - 1;
  function show() {
    const at = iterations[place];
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    readout.textContent = lines.map(line => [line, line.points.find(([here]) => here === at)])
      .filter(([, point]) => point).map(([line, point]) => lineInWords(line, point)).join("; ");
  }
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), wanted = (event.clientX - box.left) / box.width * PLOT.width;
    place = ordered(iterations.map(at => Math.abs(x(at) - wanted)), 1)[0];
    show();
  });
  svg.addEventListener("pointerleave", () => cursor.setAttribute("visibility", "hidden"));
  svg.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place = Math.min(iterations.length - 1, Math.max(0, place + step));
    show();
  });
}

// A few round numbers between two heights: 1, 2 or 5 times a power of ten.
function ticks(low, high, log) {
  const found = [];
  if (log) {
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const factor of high - low > 2.5 ? [1] : high - low > 1 ? [1, 3] : [1, 2, 3, 5, 7]) {
        const value = factor * 10 ** power, height = Math.log10(value);
        if (height > low - 1e-9 && height < high + 1e-9) found.push(value);  // 3 * 0.1 is a little more than 0.3
      }
    }
    return found.length ? found : [10 ** low, 10 ** high];
  }
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(factor => factor * power >= rough) * power;
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}
