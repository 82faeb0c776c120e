"use strict";
// The three ways of failing: what each means, every image as a dot, and the images that show it most.

const EXAMPLES = 3;

function drawSignatures(run) {
  const at = METRICS.map((_, index) => index).filter(index => METRICS[index].group === "signature");
  byId("signatures").hidden = !at.length;
  byId("signature-cards").replaceChildren(...at.map(index => signatureCard(run, index)));
}

function signatureCard(run, at) {
  const metric = METRICS[at], method = bestOf(run);
  const worst = ordered(run.names.map((_, image) => badness(metric, valueOf(method, image, at))), -1)
    .filter(image => !Number.isNaN(valueOf(method, image, at))).slice(0, EXAMPLES);
  // The cloudy image has all of the cloud by definition, and would squeeze the others.
  const methods = run.methods.filter(other => other.name !== "cloudy");
  return make("article", { class: "card" },
    make("h3", {}, metric.label[0].toUpperCase() + metric.label.slice(1)),
    make("p", { class: "soft" }, metric.meaning[0].toUpperCase() + metric.meaning.slice(1) + "."),
    dots(run, methods, at),
    make("p", {}, worst.length ? `Most in ${run.best}:` : "Not defined for these images."),
    make("ul", { class: "examples" }, worst.map(image => make("li", {}, example(run, image, at)))));
}

function example(run, image, at) {
  const found = pictureOf(run, image), name = run.names[image];
  return make("button", { type: "button", class: "link", onclick: () => view(name) },
    found ? make("img", { class: "thumb", src: found.result, alt: "", loading: "lazy" }) : null,
    make("span", {}, name, make("small", {}, withUnit(METRICS[at], valueOf(bestOf(run), image, at)))));
}

function dots(run, methods, at) {
  const metric = METRICS[at], width = 340, row = 26, left = 70;
  const values = methods.map(method => run.names.map((_, image) => valueOf(method, image, at)).filter(Number.isFinite));
  const all = [0, ...values.flat()], low = Math.min(...all), high = Math.max(...all);
  const x = value => left + (width - left - 14) * (high > low ? (value - low) / (high - low) : 0.5);
  const height = row * methods.length + 22, parts = [];
  parts.push(draw("line", { class: "axis", x1: x(0), x2: x(0), y1: 4, y2: height - 18 }));
  const marks = [...new Set([low, 0, high])].filter(value => value === 0 || Math.abs(x(value) - x(0)) > 64);
  for (const value of marks) {
    const anchor = value === high && high > 0 ? "end" : value === low && low < 0 ? "start" : "middle";
    parts.push(draw("text", { x: x(value), y: height - 4, "text-anchor": anchor }, written(metric, value)));
  }
  methods.forEach((method, index) => {
    const y = row * index + row / 2 + 2;
    parts.push(draw("text", { x: 0, y: y + 4, class: method.name === run.best ? "strong" : null }, method.name));
    for (const value of values[index]) parts.push(draw("circle", { cx: x(value), cy: y, r: 3.5, class: `line${index % 6}` }));
    const mean = number(method.summary[at] ? method.summary[at][0] : null);
    if (Number.isFinite(mean)) parts.push(draw("line", { class: `mean line${index % 6}`, x1: x(mean), x2: x(mean), y1: y - 9, y2: y + 9 }));
  });
  const told = methods.map(method => method.summary[at] ? `${method.name} ${withUnit(metric, number(method.summary[at][0]))}` : "").filter(Boolean);
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${metric.label}, means: ${told.join(", ")}` }, parts);
}
