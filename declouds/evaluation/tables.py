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
from declouds.evaluation.results import read_results as read_results  # re-exported next to the writer
from declouds.evaluation.statistics import CONFIDENCE, Estimate, Row, compare, keys_of, summarise

FILES = ("per_image.csv", "summary.csv", "results.json", "table.txt")
CURVES = "reliability.csv"  # written if there were several samples an image


@dataclass
class Evaluation:
    """The results of an evaluation.

    Attributes:
        protocols: name -> one-line description.
        methods: method -> one row per image (see `statistics.Row`).
        split: the images, for example ``file``, ``name``.
        compared: pairs (a, b) of methods whose paired difference a - b is reported.
        about: origin of the results, stored unchanged in the JSON.
        samples: what several samples an image showed (see `SampleScores.content`); empty if there was one.
    """

    protocols: dict[str, str]
    methods: dict[str, list[Row]]
    split: dict[str, Any] = field(default_factory=dict)
    compared: list[tuple[str, str]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of images."""
        return max((len(rows) for rows in self.methods.values()), default=0)

    def summaries(self) -> dict[str, dict[str, Estimate]]:
        """Return method -> metric -> mean with interval, followed by the differences ``a - b``."""
        summaries = {method: summarise(rows) for method, rows in self.methods.items()}
        for a, b in self.compared:
            summaries[f"{a} - {b}"] = compare(self.methods[a], self.methods[b])
        return summaries


def check_free(folder: Path, overwrite: bool, files: Sequence[str] = (*FILES, CURVES)) -> None:
    """Check before long work that `write_evaluation` will be able to write without overwriting.

    Raises:
        UserError: a file exists and ``overwrite`` is False, or ``folder`` is not writable.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"{existing} is a file: give a folder for the results")
    if not os.access(existing, os.W_OK):
        raise UserError(f"{existing} is not writable: check its permissions, or choose another folder")
    present = [name for name in files if (folder / name).exists()]
    if present and not overwrite:
        raise UserError(f"{folder} already holds {', '.join(present)}: choose another folder, or give --overwrite")


def write_evaluation(evaluation: Evaluation, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write ``per_image.csv``, ``summary.csv``, ``results.json`` and ``table.txt``, each atomically.

    ``reliability.csv`` too if there were several samples an image; else one of an earlier evaluation is removed.

    Raises:
        UserError: one of them exists and ``overwrite`` is False, or the folder cannot be written.
    """
    check_free(folder, overwrite)
    summaries = evaluation.summaries()
    page = io.StringIO()
    _console(summaries, page).print(_tables(evaluation, summaries))
    texts = (_per_image_csv(evaluation), _summary_csv(summaries), _json(evaluation, summaries), page.getvalue())
    files = dict(zip(FILES, texts, strict=True))
    if evaluation.samples:
        files[CURVES] = _curves_csv(evaluation.samples)
    written = write_texts(folder, files, overwrite)
    if not evaluation.samples:
        (folder / CURVES).unlink(missing_ok=True)
    return written


def write_texts(folder: Path, texts: Mapping[str, str], overwrite: bool = False) -> list[Path]:
    """Write text files (name -> content) into a folder, each atomically.

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
    """Print one table per protocol, with notes on images excluded from a mean."""
    summaries = evaluation.summaries()
    (console or _console(summaries)).print(_tables(evaluation, summaries))


def _console(summaries: dict[str, Any], file: IO[str] | None = None) -> Console:
    """Return the terminal's console, or, for a file or pipe, one too wide to wrap columns."""
    console = Console(file=file)
    return console if console.is_terminal else Console(file=file, width=max(100, 40 + 22 * len(summaries)))


def _tables(evaluation: Evaluation, summaries: dict[str, dict[str, Estimate]]) -> RenderableType:
    # `Text`, because rich would parse square brackets in plain strings as markup.
    parts: list[RenderableType] = []
    metrics = dict.fromkeys(metric for summary in summaries.values() for metric in summary)
    for protocol, description in evaluation.protocols.items():
        table = Table(title=Text(f"protocol: {protocol}, {evaluation.count} images"), title_justify="left")
        table.add_column("metric", no_wrap=True)
        table.add_column("better")
        for column in summaries:
            table.add_column(Text(column), justify="right")
        for metric in (metric for metric in metrics if metric.startswith(f"{protocol}.")):
            cells = [_cell(summary.get(metric), decimals(metric)) for summary in summaries.values()]
            table.add_row(Text(metric.removeprefix(f"{protocol}.")), better(metric), *cells)
        parts += [table, Text(f"{protocol}: {description}.\n")]
    brackets = Text(f"In brackets: {CONFIDENCE:.0%} bootstrap interval of the mean over images.")
    return Group(*parts, brackets, *_notes(summaries), *_curve_tables(evaluation.samples))


BY = {"by_spread": "predicted spread", "by_thickness": "cloud thickness |cloudy - clear|"}


def _curve_tables(samples: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield a table for each curve of reliability."""
    for key, words in BY.items():
        if curve := samples.get(key):
            names = [name for name in ("spread", "calibrated", "rmse") if name in curve[0]]
            table = Table(title=Text(f"\nreliability by {words}, on [-1, 1]"), title_justify="left")
            for name in ("from", "to", "pixels", *names):
                table.add_column(name, justify="right")
            for entry in curve:
                limits = (f"{entry[name]:.4f}" for name in ("from", "to"))
                table.add_row(*limits, f"{entry['pixels']:.0f}", *(f"{entry[name]:.4f}" for name in names))
            yield table


def _cell(value: Estimate | None, decimals: int) -> Text:
    if value is None or math.isnan(value.mean):
        return Text("-")
    text = f"{value.mean:.{decimals}f}"
    if not math.isnan(value.low):
        text += f"\n[{value.low:.{decimals}f}, {value.high:.{decimals}f}]"
    return Text(text)


def _notes(summaries: dict[str, dict[str, Estimate]]) -> Iterator[Text]:
    """Yield notes on means that exclude images."""
    for column, summary in summaries.items():
        for metric, value in summary.items():
            if value.infinite:
                yield Text(
                    f"{column}, {metric}: {value.infinite} images identical to the clear one (infinite) are excluded"
                )
            if value.missing:
                yield Text(f"{column}, {metric}: undefined for {value.missing} images, which are excluded")


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
        for column, summary in summaries.items()
        for metric, value in summary.items()
    ]
    return csv_text([["method", "protocol", "metric", *Estimate._fields], *lines])


def _curves_csv(samples: Mapping[str, Any]) -> str:
    columns = ["from", "to", "pixels", "spread", "calibrated", "rmse"]
    lines = [[key, *(entry.get(name, "") for name in columns)] for key in BY for entry in samples[key]]
    return csv_text([["curve", *columns], *lines])


def csv_text(lines: Sequence[Sequence[Any]]) -> str:
    """Return lines of cells as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _json(evaluation: Evaluation, summaries: dict[str, dict[str, Estimate]]) -> str:
    """Return strict JSON: undefined values become null, infinite ones the string "inf"."""
    means = {
        column: {metric: value._asdict() for metric, value in summary.items()} for column, summary in summaries.items()
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
        **({"samples": evaluation.samples} if evaluation.samples else {}),
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
