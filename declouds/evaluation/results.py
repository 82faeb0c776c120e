"""Find, check and read the result files of evaluations."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.evaluation.statistics import Row

FORMAT = 1  # version of results.json, incremented when its meaning changes
RESULTS = "results.json"
SCORES = "scores"  # subfolder of a run


@dataclass(frozen=True)
class RunResults:
    """The results of one evaluation, with its name in tables.

    Attributes:
        label: name of the run.
        path: the ``results.json``.
        methods: method -> one row per image (see `statistics.Row`).
        protocols: name -> one-line description.
        split: the images, for example ``split``, ``part``, ``count``, ``digest``.
        about: origin of the results.
        samples: what several samples an image showed (see `SampleScores.content`); empty if there was one.
    """

    label: str
    path: Path
    methods: dict[str, list[Row]]
    protocols: dict[str, str] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)

    @property
    def best_method(self) -> str:
        """The method that represents the run: ``DE``, else ``result``, else the last one."""
        return next((method for method in ("DE", "result") if method in self.methods), list(self.methods)[-1])

    def rows(self, method: str | None = None) -> list[Row]:
        """Return the rows of a method, by default `best_method`.

        Raises:
            UserError: the run has no such method.
        """
        if method is None:
            method = self.best_method
        if method not in self.methods:
            raise UserError(f"{self.path}: has no method {method}: choose from {', '.join(self.methods)}")
        return self.methods[method]

    def only(self, method: str | None = None, label: str | None = None) -> "RunResults":
        """Return a copy with a single method, by default `best_method`, optionally renamed.

        Raises:
            UserError: the run has no such method.
        """
        rows = self.rows(method)
        return replace(self, label=label or self.label, methods={method or self.best_method: rows})


def find_results(path: Path) -> Path:
    """Return the ``results.json`` of a run, given the file, or a folder of scores, a run or a sweep cell.

    Raises:
        UserError: no results found.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"{path}: no such file or folder: give a run, its scores, or a {RESULTS}")
    for folder in (path, path / SCORES):
        if (folder / RESULTS).is_file():
            return folder / RESULTS
    if (path / "model.safetensors").is_file():
        raise UserError(
            f"{path}: this run is not measured yet: run "
            f"declouds test {path / 'config.py'} {path / 'model.safetensors'} --out {path / SCORES}"
        )
    raise UserError(
        f"{path}: no {RESULTS} or {SCORES}/{RESULTS}: finish the run, and measure it with declouds test ... --out"
    )


def read_run(path: Path, label: str | None = None) -> RunResults:
    """Read the results of a run; ``label`` defaults to its folder name.

    Raises:
        UserError: no results, or the file is damaged, not a results file, or of another version.
    """
    path = find_results(path)
    content = _read_json(path)
    try:
        return RunResults(
            label=label or _label(path),
            path=path,
            methods={method: [_row(row) for row in entry["per_image"]] for method, entry in content["methods"].items()},
            protocols=dict(content["protocols"]),
            split=dict(content["split"]),
            about=dict(content["about"]),
            samples=dict(content.get("samples") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(path) from error


def read_results(path: Path) -> dict[str, list[Row]]:
    """Read method -> rows from a ``results.json``.

    Raises:
        UserError: see `read_run`.
    """
    return read_run(path).methods


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the file") from error
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error}): copy it again, or evaluate again") from error
    if not isinstance(content, dict) or not isinstance(content.get("methods"), dict) or not content["methods"]:
        raise _foreign(path)
    if content.get("format") != FORMAT:
        raise UserError(
            f"{path}: was written by another version of declouds "
            f"(format {content.get('format', 'unknown')}, this one reads {FORMAT}): evaluate again"
        )
    return content


def _foreign(path: Path) -> UserError:
    return UserError(f"{path}: is not a {RESULTS} of declouds: give one written by declouds evaluate or test")


def _row(row: Mapping[str, Any]) -> Row:
    """Return a row with floats: the file has null for undefined and the string "inf" for infinite values."""
    if not isinstance(row["name"], str):
        raise TypeError
    return {key: value if key == "name" else math.nan if value is None else float(value) for key, value in row.items()}


def _label(path: Path) -> str:
    """Return the folder name that identifies the run: ``a`` for ``sweep/cells/a/scores/results.json``."""
    if path.name != RESULTS:
        return path.stem
    folder = path.absolute().parent
    return folder.parent.name if folder.name == SCORES and folder.parent.name else folder.name
