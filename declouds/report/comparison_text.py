"""A comparison of runs as Markdown, LaTeX, CSV and terminal tables."""

import math
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from declouds.evaluation.tables import csv_text, write_texts
from declouds.report.comparison import Comparison
from declouds.report.comparison_tables import text_notes, text_tables

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
