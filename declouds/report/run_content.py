"""The figures of runs as the page reads them: nothing is measured here, and nothing rounded."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.evaluation.metric_names import FACTS
from declouds.evaluation.results import RunResults
from declouds.evaluation.signatures import SIGNATURES
from declouds.evaluation.statistics import Estimate, Row, column, compare, keys_of, summarise
from declouds.report.metric_facts import describe_metrics
from declouds.runs.record import read_run_file


def report_content(runs: Sequence[RunResults], by: str, worst: int) -> dict[str, Any]:
    """Return everything on the page except images and curves. Lists follow the order of ``metrics``.

    Raises:
        UserError: no run has the metric ``by``, or a run lists an image twice.
    """
    every = [row for run in runs for rows in run.methods.values() for row in rows]
    keys = [key for key in keys_of(every) if not key.startswith(FACTS) or np.isfinite(column(every, key)).any()]
    if by not in keys:
        raise UserError(f"--by {by}: no run has this metric: choose one of {', '.join(keys)}")
    metrics = describe_metrics(keys)
    ordered = [metric["key"] for metric in metrics]
    protocols = {name: text for run in runs for name, text in run.protocols.items()}
    if any(key.startswith("signature.") for key in keys):
        protocols.setdefault("signature", SIGNATURES)
    return {
        "by": by,
        "worst": worst,
        "metrics": metrics,
        "protocols": [{"name": name, "text": text} for name, text in protocols.items()],
        "runs": [_run(run, ordered) for run in runs],
        "across": [_across(run, runs[0], ordered) for run in runs[1:] if _names(run) == _names(runs[0])],
    }


def _run(run: RunResults, keys: list[str]) -> dict[str, Any]:
    names = [row["name"] for row in run.rows()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{run.path}: lists these images twice: {', '.join(twice[:5])}: evaluate again")
    best = run.best_method
    others = [method for method in run.methods if method not in (best, "cloudy") and _same(run, method)]
    return {
        "label": run.label,
        "path": str(run.path),
        "best": best,
        "baseline": others[0] if others else None,
        "names": names,
        "samples": run.samples or None,
        "facts": [[name, value] for part in (run.split, run.about) for name, value in flat_facts(part)],
        "methods": [
            {
                "name": method,
                "summary": _summary(summarise(rows), keys),
                "values": _values(rows, names, keys),
            }
            for method, rows in run.methods.items()
        ],
        "differences": [
            {"a": best, "b": method, "summary": _summary(compare(run.rows(), run.methods[method]), keys)}
            for method in others
        ],
    }


def _across(run: RunResults, first: RunResults, keys: list[str]) -> dict[str, Any]:
    return {"a": run.label, "b": first.label, "summary": _summary(compare(run.rows(), first.rows()), keys)}


def _names(run: RunResults) -> list[str]:
    return sorted(row["name"] for row in run.rows())


def _same(run: RunResults, method: str) -> bool:
    return sorted(row["name"] for row in run.methods[method]) == _names(run)


def _values(rows: Sequence[Row], names: list[str], keys: list[str]) -> list[list[float | str | None]]:
    by_name = {row["name"]: row for row in rows}
    return [[_strict(by_name.get(name, {}).get(key, math.nan)) for key in keys] for name in names]


def _summary(found: Mapping[str, Estimate], keys: list[str]) -> list[list[float | str | None] | None]:
    return [[_strict(value) for value in found[key]] if key in found else None for key in keys]


def _strict(value: float) -> float | str | None:
    """Return what JSON can hold: not defined is null, infinite the string "inf"."""
    return value if math.isfinite(value) else None if math.isnan(value) else str(value)


def flat_facts(facts: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested facts as names and texts."""
    found = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found += flat_facts(value, f"{before}{name} ")
        elif value is not None and value != []:
            items = value if isinstance(value, list) else [value]
            text = ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in items)
            found.append((f"{before}{name}".replace("_", " "), text))
    return found


RECORDED = ("status", "started", "seconds", "peak_memory", "energy", "seed", "data")  # of a run's record, for the page
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
    return {"folder": str(folder)} | {key: record[key] for key in RECORDED}


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
