"""Training curves out of the logs of a run's stages."""

import json
import re
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.evaluation.results import RunResults
from declouds.runs.record import read_run_file

FACTS = ("status", "started", "seconds", "peak_memory", "energy", "seed", "data")  # of a run's record, for the page
STAGE_FOLDER = re.compile(r"(\d+)_(.+)")


def find_run_folder(run: RunResults) -> Path | None:
    """Return the folder of the training that a run's scores belong to, if it is on this machine."""
    scores = run.path.absolute().parent
    candidates = [scores, scores.parent, scores.parent / "run"]
    if run.about.get("checkpoint"):
        candidates.append(Path(run.about["checkpoint"]).absolute().parent)
    return next((folder for folder in candidates if (folder / "config.py").is_file() and _stages(folder)), None)


def training_curves(folder: Path) -> list[dict[str, Any]]:
    """Return the curves of each stage, in order: ``losses`` and ``validations`` as name -> [[iteration, value], ...].

    A stage that another run trained is read there, and says so in ``trained_in``. What cannot be read is left out.
    """
    curves = []
    for name, stage in _stages(folder).items():
        losses, validations = _read(stage)
        if losses or validations:
            elsewhere = None if stage.parent == folder else str(stage)
            curves.append(dict(stage=name, trained_in=elsewhere, losses=losses, validations=validations))
    return curves


def training_facts(folder: Path) -> dict[str, Any]:
    """Return what the run's own record tells of its training; nothing if there is no record."""
    try:
        record = read_run_file(folder)
    except UserError:
        return {}
    return {"folder": str(folder)} | {key: record[key] for key in FACTS}


def _stages(folder: Path) -> dict[str, Path]:
    """Return name -> folder of the logs of each stage, in the order of training."""
    try:
        stages = read_run_file(folder)["stages"]
        return {stage["name"]: folder / (stage.get("trained_in") or stage["folder"]) for stage in stages}
    except (UserError, KeyError, TypeError):  # trained before there were records, or a copy without one
        found = [match for path in folder.glob("*_*") if path.is_dir() and (match := STAGE_FOLDER.fullmatch(path.name))]
        return {match[2]: folder / match[0] for match in sorted(found, key=lambda match: int(match[1]))}


def _read(stage: Path) -> tuple[dict[str, list], dict[str, list]]:
    """Read the logs of a stage, one a session: where a resumed one repeats an iteration, the later counts."""
    losses: dict[str, dict[int, float]] = {}
    validations: dict[str, dict[int, float]] = {}
    for log in sorted(stage.glob("*/vis_data/scalars.json")):
        iteration = 0
        for line in _lines(log):
            if "loss" in line:
                iteration = int(line.get("iter", line.get("step", 0)))
                for key, value in line.items():
                    if key.startswith("loss"):
                        losses.setdefault(key, {})[iteration] = value
            else:  # an evaluation, whose own count of steps MMEngine leaves at 0: it follows the line of its iteration
                for key, value in line.items():
                    if "/" in key:
                        validations.setdefault(key, {})[iteration] = value
    return _sorted(losses), _sorted(validations)


def _lines(log: Path) -> list[dict[str, Any]]:
    found = []
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # the last line of a run that was killed
            continue
        if isinstance(line, dict):
            found.append(line)
    return found


def _sorted(curves: dict[str, dict[int, float]]) -> dict[str, list]:
    """Return lists of points that JSON can hold, without what is not a finite number."""
    found = {}
    for name, points in curves.items():
        finite = [[at, value] for at, value in sorted(points.items()) if _is_finite(value)]
        if finite:
            found[name] = finite
    if len(found) == 2 and "loss" in found:  # the sum of one is that one
        found = {name: points for name, points in found.items() if name == "loss"}
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")
