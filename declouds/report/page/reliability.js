"use strict";
// Whether the spread of samples tells the error: error by predicted spread, and both by the thickness of the cloud.

const PER_CENT = 50;  // of the range, of a difference on [-1, 1]

function drawReliability(run) {
  const found = run.samples;
  byId("reliability").hidden = byId("to-reliability").hidden = !found;
  if (!found) return;
  const predicted = [["spread", "by the samples"], ["calibrated", "by the calibration"]].filter(([key]) => found.by_spread.length && key in found.by_spread[0]);
  byId("reliability-told").textContent = `${found.count} samples of every image; all figures in % of the range. ` +
    "A point is about a tenth of the pixels. Where the spread can be trusted, the error of the samples' mean is as large as predicted.";
  const middle = bin => (bin.from + bin.to) / 2;
  byId("reliability-cards").replaceChildren(
    plot("Error by predicted spread", "predicted", predicted.map(([key, name]) => [name, found.by_spread.map(bin => [bin[key], bin.rmse])]), true),
    ...(found.by_thickness.length ? [plot("Error by cloud thickness |cloudy − clear|", "thickness",
      [...predicted.map(([key, name]) => [`predicted ${name}`, key]), ["error", "rmse"]]
        .map(([name, key]) => [name, found.by_thickness.map(bin => [middle(bin), bin[key]])]), false)] : []));
}

function plot(title, across, lines, diagonal) {
  const drawn = lines.map(([name, points]) => [name, points.map(point => point.map(value => PER_CENT * value))]);
  const points = drawn.flatMap(([, its]) => its), highest = at => Math.max(1e-3, ...points.map(point => point[at]));
  const [wide, high] = diagonal ? [Math.max(highest(0), highest(1)), Math.max(highest(0), highest(1))] : [highest(0), highest(1)];
  const x = value => PLOT.left + (PLOT.width - PLOT.left - PLOT.right) * value / wide;
  const y = value => PLOT.height - PLOT.bottom - (PLOT.height - PLOT.top - PLOT.bottom) * value / high;
  const text = value => String(Number(value.toPrecision(3))), parts = [];
  for (const value of ticks(0, high, false)) {
    parts.push(draw("line", { class: "grid", x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: y(value), y2: y(value) }),
      draw("text", { x: PLOT.left - 6, y: y(value) + 4, "text-anchor": "end" }, text(value)));
  }
  for (const value of ticks(0, wide, false)) parts.push(draw("text", { x: x(value), y: PLOT.height - 8, "text-anchor": "middle" }, text(value)));
  if (diagonal) parts.push(draw("line", { class: "axis", x1: x(0), x2: x(wide), y1: y(0), y2: y(high) }));
  drawn.forEach(([, its], at) => {
    parts.push(draw("polyline", { class: `line${at}`, points: its.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }));
    its.forEach(([a, b]) => parts.push(draw("circle", { class: `line${at}`, cx: x(a), cy: y(b), r: 3 },
      draw("title", {}, `${across} ${text(a)} %, error ${text(b)} %`))));
  });
  const told = drawn.map(([name, its]) => `${name}: ${its.map(point => point.map(text).join(" to ")).join(", ")}`).join("; ");
  return make("article", { class: "card" }, make("figure", { class: "chart" },
    make("figcaption", {}, make("b", {}, title), ` (across: ${across}${diagonal ? "; dashed: as predicted" : ""})`,
      make("div", { class: "legend" }, drawn.map(([name], at) => make("span", { class: `key line${at}` }, name)))),
    draw("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": `${title}: ${told}` }, parts)));
}
