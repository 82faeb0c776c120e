"use strict";
// The figures of REPORT: read, ordered from bad to good, and put into words.

const METRICS = REPORT.metrics;
const BY = METRICS.findIndex(metric => metric.key === REPORT.by);

function number(value) {
  return value === null ? NaN : value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
}

function metricAt(key) {
  return METRICS.findIndex(metric => metric.key === key);
}

function methodOf(run, name) {
  return run.methods.find(method => method.name === name);
}

function bestOf(run) {
  return methodOf(run, run.best);
}

function valueOf(method, image, metric) {
  return number(method.values[image][metric]);
}

// How far a value is from the best one, of a metric that is best at one; else the value.
function distance(metric, value) {
  return metric.better.startsWith("nearer") ? Math.abs(value - Number(metric.better.split(" ")[1])) : value;
}

// a - b; of a metric that is best at a value the difference of distances to it; 0 where both are infinite.
function difference(metric, a, b) {
  [a, b] = [distance(metric, a), distance(metric, b)];
  return a === b ? 0 : a - b;
}

// Larger is worse; what is not defined is NaN.
function badness(metric, value, isDifference = false) {
  if (metric.better === "higher") return -value;
  return isDifference ? value : distance(metric, value);
}

// Positions ordered by the values given, NaN last whatever the direction.
function ordered(values, direction) {
  return values.map((value, at) => [value, at]).sort(([a, i], [b, j]) => {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b) || i - j;
    return a === b ? i - j : direction * (a < b ? -1 : 1);
  }).map(([, at]) => at);
}

function worstOf(run) {
  const method = bestOf(run);
  return ordered(run.names.map((_, image) => badness(METRICS[BY], valueOf(method, image, BY))), -1).slice(0, REPORT.worst);
}

function written(metric, value, sign = false) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value).toFixed(metric.decimals);
  return (value < 0 && Number(text) !== 0 ? "−" : sign && Number(text) !== 0 ? "+" : "") + text;
}

function withUnit(metric, value, sign = false) {
  return written(metric, value, sign) + (metric.unit ? (metric.unit === "°" ? "" : "\u00a0") + metric.unit : "");
}

// Mean and interval out of a summary: [mean, low, high, images, infinite, missing].
function interval(metric, estimate, sign = false) {
  const [low, high] = [number(estimate[1]), number(estimate[2])];
  return Number.isNaN(low) ? "" : `[${written(metric, low, sign)}, ${written(metric, high, sign)}]`;
}

function isClear(estimate) {
  return number(estimate[1]) > 0 || number(estimate[2]) < 0;
}

function pictureOf(run, image) {
  return run.pictures.find(pictures => pictures.name === run.names[image]);
}
