"""A comparison of runs laid out as tables of plain text, whatever they are rendered as."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from declouds.evaluation.metric_names import better, decimals
from declouds.evaluation.statistics import CONFIDENCE, RESAMPLES, Estimate
from declouds.report.comparison import Cell, Comparison
from declouds.report.image_bins import ALL

ARROWS = {"higher": "\u2191", "lower": "\u2193", "nearer 0": "\u21920"}
LEGEND = (
    f"In brackets: the {CONFIDENCE:.0%} bootstrap interval of the mean over images ({RESAMPLES} resamples). "
    "p: Wilcoxon's signed-rank test, two-sided; p (Holm): corrected for the number of differences in the tables of all "
    "images, or in those of bins together. ± is the standard deviation of the means of several seeds. "
    "↑ higher is better, ↓ lower, →0 nearer to 0."
)


class TextTable(NamedTuple):
    """A table of plain text: ``names`` columns of names come first, then figures."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    names: int


def text_tables(comparison: Comparison) -> list[TextTable]:
    """Return the tables of a comparison: the means, the differences to the baseline, and one a metric by bin."""
    tables = [_means(comparison)]
    if len(comparison.runs) > 1:
        tables.append(_differences(comparison))
    if len(comparison.bins) > 1:
        tables += [_by_bin(comparison, metric) for metric in comparison.metrics]
    return tables


def text_notes(comparison: Comparison) -> list[str]:
    """Return what stands below the tables: how to read them, what to know, and the protocols."""
    used = {metric.split(".")[0] for metric in comparison.metrics}
    protocols = [f"{name}: {text}." for name, text in comparison.protocols.items() if name in used]
    return [LEGEND, *comparison.notes, *_without_test(comparison), *protocols]


def _means(comparison: Comparison) -> TextTable:
    columns = ["run", *(f"{metric} {ARROWS[better(metric)]}" for metric in comparison.metrics)]
    rows = [
        [run, *(_mean(comparison.at(run, metric), metric) for metric in comparison.metrics)] for run in comparison.runs
    ]
    return TextTable(f"Means, {comparison.bins[0].images} images", columns, rows, names=1)


def _differences(comparison: Comparison) -> TextTable:
    rows = [
        [f"{metric} {ARROWS[better(metric)]}", run, *_compared(comparison.at(run, metric), metric)]
        for metric in comparison.metrics
        for run in comparison.runs
        if run != comparison.baseline
    ]
    title = f"Differences to {comparison.baseline}, {comparison.bins[0].images} images"
    return TextTable(title, ["metric", "run", "difference", "p", "p (Holm)"], rows, names=2)


def _by_bin(comparison: Comparison, metric: str) -> TextTable:
    rows = [
        [f"{found.name} ({found.images})", run, _mean(cell, metric), *_compared(cell, metric)]
        for found in comparison.bins
        if found.name != ALL
        for run in comparison.runs
        for cell in [comparison.at(run, metric, found.name)]
    ]
    columns = ["images", "run", "mean", "difference", "p", "p (Holm)"]
    title = f"{metric} {ARROWS[better(metric)]} by {comparison.bins[1].fact}, differences to {comparison.baseline}"
    return TextTable(title, columns, rows, names=2)


def _mean(cell: Cell, metric: str) -> str:
    spread = "" if math.isnan(cell.spread) else f" ± {cell.spread:.{decimals(metric)}f}"
    return _interval(cell.estimate, metric, spread=spread)


def _compared(cell: Cell, metric: str) -> list[str]:
    if cell.difference is None:
        return ["baseline", "", ""]
    return [_interval(cell.difference.estimate, metric, "+"), _p(cell.difference.p), _p(cell.difference.p_holm)]


def _interval(value: Estimate, metric: str, sign: str = "", spread: str = "") -> str:
    if math.isnan(value.mean):
        return "-"
    form = f"{sign}.{decimals(metric)}f"
    brackets = "" if math.isnan(value.low) else f" [{value.low:{form}}, {value.high:{form}}]"
    return f"{value.mean:{form}}{spread}{brackets}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _without_test(comparison: Comparison) -> Iterator[str]:
    """Say why some differences have no p, equal reasons together."""
    places: dict[str, list[str]] = {}
    for (run, metric, name), cell in comparison.cells.items():
        if cell.difference is not None and cell.difference.reason:
            places.setdefault(cell.difference.reason, []).append(
                f"{run}, {metric}" + (f", {name}" if name != ALL else "")
            )
    for reason, found in places.items():
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        yield f"No p ({reason}): {'; '.join(found[:3])}{more}."
