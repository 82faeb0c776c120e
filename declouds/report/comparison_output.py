"""A comparison of runs laid out as tables of plain text, and rendered as Markdown, LaTeX and CSV."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from declouds.evaluation.metric_names import better, decimals
from declouds.evaluation.statistics import CONFIDENCE, RESAMPLES, Estimate
from declouds.evaluation.tables import csv_text, write_texts
from declouds.report.compared_runs import ALL
from declouds.report.comparison import Cell, Comparison

LEGEND = (
    f"In brackets: the {CONFIDENCE:.0%} bootstrap interval of the mean over images ({RESAMPLES} resamples). "
    "p: Wilcoxon's signed-rank test, two-sided; p (Holm): corrected for the number of differences in the tables of all "
    "images, or in those of bins together. ± is the standard deviation of the means of several seeds. "
    "↑ higher is better, ↓ lower, →0 nearer to 0."
)


def _headed(metric: str) -> str:
    """Return a metric with an arrow to its better values, if some are."""
    arrow = better(metric).replace("higher", "↑").replace("lower", "↓").replace("nearer ", "→")
    return f"{metric} {arrow}".strip()


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
    columns = ["run", *map(_headed, comparison.metrics)]
    rows = [
        [run, *(_mean(comparison.at(run, metric), metric) for metric in comparison.metrics)] for run in comparison.runs
    ]
    return TextTable(f"Means, {comparison.bins[0].images} images", columns, rows, names=1)


def _differences(comparison: Comparison) -> TextTable:
    rows = [
        [_headed(metric), run, *_compared(comparison.at(run, metric), metric)]
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
    title = f"{_headed(metric)} by {comparison.bins[1].fact}, differences to {comparison.baseline}"
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


FILES = ("compare.md", "compare.tex", "compare.csv")


def to_markdown(comparison: Comparison) -> str:
    """Return the tables as Markdown."""
    parts = []
    for title, columns, rows, names in text_tables(comparison):
        rule = ["---"] * names + ["---:"] * (len(columns) - names)
        lines = [[_markdown(cell) for cell in line] for line in (columns, *rows)]
        table = [f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:])]
        parts.append("\n".join([f"**{_markdown(title)}**", "", *table]))
    notes = "\n".join(f"- {_markdown(note)}" for note in text_notes(comparison))
    return "\n\n".join([*parts, notes]) + "\n"


def to_latex(comparison: Comparison) -> str:
    r"""Return the tables as LaTeX to ``\input`` into a document that loads ``booktabs`` and ``graphicx``."""
    parts = [r"% Needs \usepackage{booktabs,graphicx} in the preamble."]
    for title, columns, rows, names in text_tables(comparison):
        head = " & ".join(_latex(column) for column in columns)
        lines = [
            " & ".join([_latex(cell) for cell in line[:names]] + [_figure(cell) for cell in line[names:]])
            for line in rows
        ]
        parts += [
            r"\begin{table}[htbp]",
            r"\centering\small",
            rf"\caption{{{_latex(title)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",  # shrunk where too wide
            rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(columns) - names)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *(rf"{line} \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    return "\n".join([*parts, *(rf"{_latex(note)}\par" for note in text_notes(comparison))]) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Return one line per run, metric and bin, figures in full; what is not defined is empty."""
    head = ["run", "protocol", "metric", "bin", "images", "mean", "low", "high", "infinite", "missing"]
    head += ["seeds", "sd_over_seeds", "baseline", "difference", "difference_low", "difference_high"]
    head += ["difference_images", "p", "p_holm", "no_p_because"]
    lines: list[list[object]] = []
    for (run, metric, name), cell in comparison.cells.items():
        mean, low, high, images, infinite, missing = cell.estimate
        line: list[object] = [run, *metric.split(".", 1), name, images, mean, low, high, infinite, missing]
        line += [cell.seeds, cell.spread, comparison.baseline]
        if (found := cell.difference) is not None:
            line += [*found.estimate[:4], found.p, found.p_holm, found.reason]
        line += [""] * (len(head) - len(line))
        lines.append(["" if isinstance(value, float) and math.isnan(value) else value for value in line])
    return csv_text([head, *lines])


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables to the terminal."""
    console = console or Console()
    if not console.is_terminal:  # a file or pipe: no column is folded
        console = Console(file=console.file, width=200)
    for title, columns, rows, names in text_tables(comparison):
        table = Table(title=Text(title), title_justify="left")
        for position, column in enumerate(columns):
            table.add_column(Text(column), justify="left" if position < names else "right")
        for row in rows:
            table.add_row(*map(Text, row))  # in a plain string rich would take square brackets for markup
        console.print(table)
    for note in text_notes(comparison):
        console.print(Text(note))


def write_comparison(comparison: Comparison, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write ``compare.md``, ``compare.tex`` and ``compare.csv``, each complete or not at all.

    Raises:
        UserError: one of them exists and ``overwrite`` is False, or the folder cannot be written.
    """
    texts = (to_markdown(comparison), to_latex(comparison), to_csv(comparison))
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite)


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*`<])", r"\\\1", text).replace("\n", " ")


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "±": r"$\pm$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "\n": " ",
}  # fmt: skip


def _latex(text: str) -> str:
    r"""Escape what LaTeX would act on; a leading bracket too, which after ``\\`` would be an argument."""
    escaped = "".join(LATEX.get(character, character) for character in text)
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def _figure(text: str) -> str:
    """Escape a cell of figures, its minus signs as such."""
    return re.sub(r"-(?=\d)", "$-$", _latex(text))
