"use strict";
// Puts the page together: the title, the switches of run and theme, and every section.

const THEMES = ["auto", "light", "dark"];

function drawFacts(run) {
  const facts = [["results", run.path], ["images", String(run.names.length)], ...run.facts];
  byId("facts").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function showRun(at) {
  const run = REPORT.runs[at];
  byId("run").value = String(at);
  drawWorst(run);
  chooseRun(run);
  drawSignatures(run);
  drawReliability(run);
  drawFacts(run);
}

function showTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
}

function storedTheme() {
  try {
    const theme = localStorage.getItem("declouds-theme");
    return THEMES.includes(theme) ? theme : "auto";
  } catch {  // a browser that keeps nothing for files
    return "auto";
  }
}

function setUpTheme() {
  let theme = storedTheme();
  showTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    showTheme(theme);
    try {
      localStorage.setItem("declouds-theme", theme);
    } catch { /* then it lasts until the page is left */ }
  });
}

function setUpPage() {
  const labels = REPORT.runs.map(run => run.label), count = Math.max(...REPORT.runs.map(run => run.names.length));
  document.title = `${labels.join(", ")} – declouds report`;
  byId("title").textContent = labels.join(" · ");
  byId("told").textContent = `${count} ${count === 1 ? "image" : "images"}, ` +
    `${labels.length === 1 ? "one run" : `${labels.length} runs`}, worst by ${METRICS[BY].label} (${METRICS[BY].group})`;
  options(byId("run"), labels.map((label, at) => [String(at), label]), "0");
  byId("run-switch").hidden = labels.length === 1;
  byId("run").addEventListener("change", event => showRun(Number(event.target.value)));
}

setUpTheme();
setUpPage();
setUpImages();
setUpViewer();
drawSummary();
drawCurves();
showRun(0);
followAddress();
