"""The folder of a report: figures, curves and images of runs, and the page that shows them."""

import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declouds.errors import UserError, nearest
from declouds.evaluation.metric_names import FACTS, better, target
from declouds.evaluation.results import RunResults
from declouds.progress import tracked
from declouds.report.run_content import find_run_folder, flat_facts, report_content, training_curves, training_facts

PAGE = Path(__file__).with_name("page")
INDEX, DATA = "index.html", "data.js"


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows.

    Attributes:
        images: images to show whatever they score, with their steps at full size.
        worst: how many of the worst images of each run are shown.
        by: the metric that makes them so.
        pictures: run the models again, to draw images.
        device: where the models run.
        checkpoints: weights files instead of those that the results name: none, one for all runs, or one each.
        configs: config files, likewise.
        cfg_options: overrides of the configs.
        overwrite: replace a report that exists.
    """

    images: tuple[str, ...] = ()
    worst: int = 10
    by: str = "official.psnr"
    pictures: bool = True
    device: str = "auto"
    checkpoints: tuple[Path, ...] = ()
    configs: tuple[Path, ...] = ()
    cfg_options: tuple[str, ...] = ()
    overwrite: bool = False


def write_report(runs: Sequence[RunResults], out: Path, options: ReportOptions) -> list[str]:
    """Write the report of some runs into the folder ``out``, all of it or nothing, and return what it had to leave out.

    Raises:
        UserError: ``out`` is in the way, the options do not fit the runs, or the disk refuses.
    """
    _check(runs, out, options)
    content = report_content(runs, options.by, options.worst)
    for run, shown in zip(runs, content["runs"], strict=True):
        folder = find_run_folder(run)
        shown["training"] = None if folder is None else str(folder)
        shown["curves"] = [] if folder is None else training_curves(folder)
        shown["facts"] += [] if folder is None else flat_facts(training_facts(folder), "training ")
    try:
        with _replacing_folder(out.resolve(), options.overwrite) as folder:
            shutil.copytree(PAGE, folder, dirs_exist_ok=True)
            notices = _add_pictures(runs, content, folder, options)
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
            (folder / DATA).write_text(f'"use strict";\nconst REPORT = {text};\n', encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}): check the folder and the disk") from error
    return notices


def worst_images(run: RunResults, by: str, count: int) -> list[str]:
    """Return the names of a run's worst images by a metric, the worst first; images without a value come last."""
    best = target(by)

    def rank(row: dict[str, Any]) -> float:
        value = row.get(by, math.nan)
        value = value if best is None else abs(value - best)
        return math.inf if math.isnan(value) else value if better(by) == "higher" else -value

    return [row["name"] for row in sorted(run.rows(), key=rank)[:count]]


def _check(runs: Sequence[RunResults], out: Path, options: ReportOptions) -> None:
    labels = [run.label for run in runs]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise UserError(f"two runs are called {', '.join(twice)}: give each a name of its own by --names")
    if options.worst < 1:
        raise UserError(f"--worst {options.worst}: give 1 or more")
    if options.by.startswith(FACTS):
        raise UserError(f"--by {options.by}: is a fact of the image and says nothing of a result: choose a metric")
    known = {row["name"] for run in runs for row in run.rows()}
    for name in options.images:
        if name not in known:
            near = nearest(name, known, 3) or sorted(known)[:3]
            raise UserError(f"--images {name}: no run has measured such an image: there are {', '.join(near)} ...")
    for option, files in (("--checkpoint", options.checkpoints), ("--config", options.configs)):
        if len(files) not in (0, 1, len(runs)):
            raise UserError(f"{option} gives {len(files)} files for {len(runs)} runs: give one for all, or one each")
    if out.exists() or out.is_symlink():
        if not options.overwrite:
            raise UserError(f"{out} exists: choose another folder, or give --overwrite to replace the report in it")
        if not out.is_dir() or (any(out.iterdir()) and not ((out / INDEX).is_file() and (out / DATA).is_file())):
            raise UserError(f"{out}: is not a report, so it is not replaced: choose another folder")
    parent = next(path for path in out.absolute().parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"{parent} cannot be written to: choose another folder")


@contextmanager
def _replacing_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``out``, which it becomes if the block ends well; else it is removed."""
    mark = uuid.uuid4().hex[:8]
    temporary, before = (out.with_name(f".{out.name}.{mark}.{kind}") for kind in ("partial", "before"))
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out.exists() and overwrite:
            os.rename(out, before)
        try:
            os.rename(temporary, out)
        except OSError:
            if before.exists():
                os.rename(before, out)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def _add_pictures(
    runs: Sequence[RunResults], content: dict[str, Any], folder: Path, options: ReportOptions
) -> list[str]:
    """Draw the images of every run; return a line for each run without."""
    for shown in content["runs"]:
        shown |= {"pictures": [], "notice": None}
    if not options.pictures:
        return []
    from declouds.report.image_pictures import ImagePictures
    from declouds.report.pictures import ERROR, WEIGHT, legend

    content["legends"] = {"error": legend(ERROR), "weight": legend(WEIGHT)}
    worst = [name for run in runs for name in worst_images(run, options.by, options.worst)]
    chosen = list(dict.fromkeys([*options.images, *worst]))
    notices = []
    for number, (run, shown) in enumerate(zip(runs, content["runs"], strict=True), start=1):
        try:
            scored = _scored_model(run, number - 1, options)
        except UserError as error:
            shown["notice"] = f"No images: {error}."
            notices.append(f"{run.label} comes without images: {error}")
            continue
        images = folder / "images" / str(number)
        images.mkdir(parents=True)
        make = ImagePictures(scored, images, f"images/{number}").make
        rows = {row["name"]: row for row in run.rows()}
        names = [name for name in chosen if name in rows]
        for place, name in enumerate(tracked(names, f"images of {run.label}"), start=1):
            stem = f"{place:03d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:40]}"
            shown["pictures"].append(make(rows[name], stem, whole_steps=name in options.images))
        notices += [f"{run.label}, {made['name']}: {made['differs']}" for made in shown["pictures"] if made["differs"]]
    return notices


def _scored_model(run: RunResults, index: int, options: ReportOptions) -> Any:
    from declouds.hardware import pick_device
    from declouds.report.scored_model import find_scored_model

    def of(files: tuple[Path, ...]) -> Path | None:
        return files[index if len(files) > 1 else 0] if files else None

    device = pick_device(options.device)
    return find_scored_model(run, device, of(options.checkpoints), of(options.configs), options.cfg_options)
