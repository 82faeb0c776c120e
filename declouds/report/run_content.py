"""The figures of runs as the page reads them: nothing is measured here, and nothing rounded."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.evaluation.metric_names import FACTS
from declouds.evaluation.results import RunResults
from declouds.evaluation.signatures import SIGNATURES
from declouds.evaluation.statistics import Estimate, Row, column, compare, keys_of, summarise
from declouds.report.metric_facts import describe_metrics


def report_content(runs: Sequence[RunResults], by: str, worst: int) -> dict[str, Any]:
    """Return everything of the page but pictures and curves. Lists follow the order of ``metrics``.

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
