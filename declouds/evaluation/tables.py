"""The results of an evaluation as terminal tables, CSV and JSON."""

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.evaluation.metric_names import better, decimals
from declouds.evaluation.results import FORMAT
from declouds.evaluation.results import read_results as read_results  # read here, too: it belongs to what is written
from declouds.evaluation.statistics import CONFIDENCE, Estimate, Row, compare, keys_of, summarise

FILES = ("per_image.csv", "summary.csv", "results.json", "table.txt")


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        protocols: name -> one line on how it measures.
        methods: method -> one row an image (see `statistics.Row`).
        split: which images: for example ``file``, ``name``.
        compared: pairs (a, b) of methods for which the paired difference a - b is given.
        about: where the results come from, kept in the JSON as it is.
    """

    protocols: dict[str, str]
    methods: dict[str, list[Row]]
    split: dict[str, Any] = field(default_factory=dict)
    compared: list[tuple[str, str]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of images."""
        return max((len(rows) for rows in self.methods.values()), default=0)

    def summaries(self) -> dict[str, dict[str, Estimate]]:
        """Return method -> metric -> mean with interval; the differences follow as ``a - b``."""
        found = {method: summarise(rows) for method, rows in self.methods.items()}
        for a, b in self.compared:
            found[f"{a} - {b}"] = compare(self.methods[a], self.methods[b])
        return found


def check_free(folder: Path, overwrite: bool, files: Sequence[str] = FILES) -> None:
    """Make sure that `write_evaluation` will not overwrite, before long work.

    Raises:
        UserError: one of the files exists and ``overwrite`` is False, or ``folder`` cannot be a folder one writes to.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"{existing} is a file: give a folder for the results")
    if not os.access(existing, os.W_OK):
        raise UserError(f"{existing} cannot be written to: check its permissions, or write somewhere else")
    present = [name for name in files if (folder / name).exists()]
    if present and not overwrite:
        raise UserError(f"{folder} holds {', '.join(present)} already: choose another folder, or give --overwrite")


def write_evaluation(evaluation: Evaluation, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write ``per_image.csv``, ``summary.csv``, ``results.json`` and ``table.txt``, each complete or not at all.

    Raises:
        UserError: one of them exists and ``overwrite`` is False, or the folder cannot be written.
    """
    check_free(folder, overwrite)
    summaries = evaluation.summaries()
    page = io.StringIO()
    _console(summaries, page).print(_tables(evaluation, summaries))
    texts = (_per_image_csv(evaluation), _summary_csv(summaries), _json(evaluation, summaries), page.getvalue())
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite)


def write_texts(folder: Path, texts: Mapping[str, str], overwrite: bool = False) -> list[Path]:
    """Write files of text (name -> content) into a folder, each complete or not at all.

    Raises:
        UserError: one of them exists and ``overwrite`` is False, or the folder cannot be written.
    """
    check_free(folder, overwrite, tuple(texts))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}): check the folder and the disk") from error
    return [folder / name for name in texts]


def print_tables(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print one table a protocol, named, with a note on images that were left out of a mean."""
    summaries = evaluation.summaries()
    (console or _console(summaries)).print(_tables(evaluation, summaries))


def _console(summaries: dict[str, Any], file: IO[str] | None = None) -> Console:
    """Return the terminal, or, where output goes into a file or pipe, a page on which no column is folded."""
    console = Console(file=file)
    return console if console.is_terminal else Console(file=file, width=max(100, 40 + 22 * len(summaries)))


def _tables(evaluation: Evaluation, summaries: dict[str, dict[str, Estimate]]) -> RenderableType:
    # Everything is `Text`: in a plain string rich would take square brackets for markup.
    parts: list[RenderableType] = []
    metrics = dict.fromkeys(metric for found in summaries.values() for metric in found)
    for protocol, description in evaluation.protocols.items():
        table = Table(title=Text(f"protocol: {protocol}, {evaluation.count} images"), title_justify="left")
        table.add_column("metric", no_wrap=True)
        table.add_column("better")
        for column in summaries:
            table.add_column(Text(column), justify="right")
        for metric in (metric for metric in metrics if metric.startswith(f"{protocol}.")):
            cells = [_cell(found.get(metric), decimals(metric)) for found in summaries.values()]
            table.add_row(Text(metric.removeprefix(f"{protocol}.")), better(metric), *cells)
        parts += [table, Text(f"{protocol}: {description}.\n")]
    brackets = Text(f"In brackets: the {CONFIDENCE:.0%} bootstrap interval of the mean over images.")
    return Group(*parts, brackets, *_notes(summaries))


def _cell(value: Estimate | None, decimals: int) -> Text:
    if value is None or math.isnan(value.mean):
        return Text("-")
    text = f"{value.mean:.{decimals}f}"
    if not math.isnan(value.low):
        text += f"\n[{value.low:.{decimals}f}, {value.high:.{decimals}f}]"
    return Text(text)


def _notes(summaries: dict[str, dict[str, Estimate]]) -> Iterator[Text]:
    """Say which means rest on fewer images than there are."""
    for column, found in summaries.items():
        for metric, value in found.items():
            if value.infinite:
                yield Text(
                    f"{column}, {metric}: {value.infinite} images equal to the clear one (infinite) are left out"
                )
            if value.missing:
                yield Text(f"{column}, {metric}: not defined for {value.missing} images, which are left out")


def _per_image_csv(evaluation: Evaluation) -> str:
    metrics = keys_of([row for rows in evaluation.methods.values() for row in rows])
    lines = [
        [method, row["name"], *("" if math.isnan(row.get(metric, math.nan)) else row[metric] for metric in metrics)]
        for method, rows in evaluation.methods.items()
        for row in rows
    ]
    return csv_text([["method", "name", *metrics], *lines])


def _summary_csv(summaries: dict[str, dict[str, Estimate]]) -> str:
    lines = [
        [column, *metric.split(".", 1), *("" if math.isnan(number) else number for number in value)]
        for column, found in summaries.items()
        for metric, value in found.items()
    ]
    return csv_text([["method", "protocol", "metric", *Estimate._fields], *lines])


def csv_text(lines: Sequence[Sequence[Any]]) -> str:
    """Return lines of cells as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _json(evaluation: Evaluation, summaries: dict[str, dict[str, Estimate]]) -> str:
    """Strict JSON: a value that is not defined is null, an infinite one the string "inf"."""
    means = {
        column: {metric: value._asdict() for metric, value in found.items()} for column, found in summaries.items()
    }
    content = {
        "format": FORMAT,
        "protocols": evaluation.protocols,
        "count": evaluation.count,
        "split": evaluation.split,
        "about": evaluation.about,
        "methods": {
            method: {"summary": means[method], "per_image": rows} for method, rows in evaluation.methods.items()
        },
        "differences": {f"{a} - {b}": means[f"{a} - {b}"] for a, b in evaluation.compared},
    }
    return json.dumps(_strict(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
