"use strict";
// The worst images of the chosen run, each before and after.

function drawWorst(run) {
  const worst = worstOf(run), metric = METRICS[BY];
  byId("worst-title").textContent = `The worst ${worst.length} by ${metric.label} (${metric.group})`;
  byId("notice").hidden = !run.notice;
  byId("notice").textContent = run.notice || "";
  byId("cards").replaceChildren(...worst.map((image, at) => worstCard(run, image, at + 1)));
}

function worstCard(run, image, rank) {
  const found = pictureOf(run, image), name = run.names[image];
  const shown = [run.baseline].map(other => methodOf(run, other)).filter(Boolean);
  const facts = [[METRICS[BY], bestOf(run), ""], ...shown.map(method => [METRICS[BY], method, `, ${method.name}`]),
    ...METRICS.filter(metric => metric.group === "signature").map(metric => [metric, bestOf(run), ""])];
  return make("article", { class: "card" },
    make("h3", {}, make("button", { type: "button", class: "link", onclick: () => view(name) }, `${rank}. ${name}`)),
    found ? slider(name, found.size, ["cloudy" in found ? "cloudy" : "clear", found.cloudy || found.clear], [run.best, found.result]) : null,
    make("dl", {}, facts.map(([metric, method, more]) => make("div", {}, make("dt", {}, metric.label + more),
      make("dd", {}, withUnit(metric, valueOf(method, image, METRICS.indexOf(metric))))))));
}
