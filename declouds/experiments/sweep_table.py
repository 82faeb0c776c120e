"""The tables that a sweep ends in: cells compared image by image, and what they cost."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from declouds.evaluation.results import RunResults, read_run
from declouds.evaluation.tables import write_texts
from declouds.experiments.cell import Cell
from declouds.experiments.sweep_file import SweepFile
from declouds.report.comparison import Comparison, compare_runs
from declouds.report.comparison_output import print_comparison, to_csv, to_latex, to_markdown

FILES = ("table.md", "table.tex", "table.csv")


def write_tables(sweep: SweepFile, cells: Sequence[Cell], folder: Path) -> list[Path]:
    """Write the tables of the cells that have results, and print them without those by cloudiness.

    Cells that differ in nothing but the seed are one row. Cells tested on other images have a table of their own.

    Raises:
        UserError: results are damaged or cannot be compared, or the folder cannot be written.
    """
    runs: dict[str, list[RunResults]] = {}
    for cell in cells:
        label = _label(cell)
        runs.setdefault(label, []).append(read_run(cell.results, label).only())
    for variant in sweep.variants:
        _add_variant(runs, cells, variant)
    comparisons = [_comparison(sweep, group) for group in _by_images(runs)]
    for comparison in comparisons:
        print_comparison(replace(comparison, bins=comparison.bins[:1]))  # by cloudiness: in the files
    texts = (
        "\n".join([*(to_markdown(comparison) for comparison in comparisons), _costs(cells)]),
        "\n".join(to_latex(comparison) for comparison in comparisons),
        to_csv(comparisons[0]) + "".join(to_csv(other).split("\n", 1)[1] for other in comparisons[1:]),
    )
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=True)


def _label(cell: Cell) -> str:
    """Return what the cell is called whatever its seed."""
    values = [(axis, name) for axis, name in cell.values.items() if axis != "seed"]
    if not values:
        return cell.name
    return values[0][1] if len(values) == 1 else ",".join(f"{axis}={name}" for axis, name in values)


def _add_variant(runs: dict[str, list[RunResults]], cells: Sequence[Cell], variant: str) -> None:
    """Put the prior, say, of every cell beside its result."""
    for cell in cells:
        found = read_run(cell.results)
        if variant in found.methods:
            label = f"{_label(cell)}: {variant}"
            runs.setdefault(label, []).append(found.only(variant, label))


def _by_images(runs: dict[str, list[RunResults]]) -> list[dict[str, list[RunResults]]]:
    """Sort runs by the images that they were tested on."""
    groups: dict[str, dict[str, list[RunResults]]] = {}
    for label, found in runs.items():
        facts = sorted((str(row["name"]), f"{row.get('image.change', 0.0):.2f}") for row in found[0].rows())
        groups.setdefault(json.dumps(facts), {})[label] = found
    return list(groups.values())


def _comparison(sweep: SweepFile, runs: dict[str, list[RunResults]]) -> Comparison:
    chosen = {cell.name: _label(cell) for cell in sweep.cells(Path())}.get(sweep.baseline or "")
    baseline = chosen if chosen in runs else None  # other images, or not run yet: the first one
    return compare_runs(list(runs.items()), baseline, sweep.metrics or None)


def _costs(cells: Sequence[Cell]) -> str:
    """Return, as Markdown, what the cells cost: their own training (shared stages apart) and a prediction."""
    lines = [
        "**Cost**",
        "",
        "| cell | trained itself, s | taken from other runs | prediction, s an image |",
        "|---|---:|---|---:|",
    ]
    for cell in cells:
        trained, shared = _training(cell.folder / "run" / "run.json")
        run = read_run(cell.results)
        seconds = run.about.get("seconds_an_image", {}).get(run.best_method, math.nan)
        lines.append(f"| {cell.name} | {trained} | {shared} | {seconds:.2f} |")
    return "\n".join(lines) + "\n"


def _training(story: Path) -> tuple[str, str]:
    try:
        stages = json.loads(story.read_text(encoding="utf-8"))["stages"]
        own = [stage for stage in stages if not Path(stage["trained_in"]).is_absolute()]  # in this run
        return f"{sum(stage['seconds'] for stage in own):.0f}", ", ".join(
            s["name"] for s in stages if s not in own
        ) or "-"
    except (OSError, ValueError, KeyError, TypeError):
        return "-", "-"
