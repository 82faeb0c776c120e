"""The runs, cells of sweeps and scores below a folder, and what their files record."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.evaluation.results import FORMAT, RESULTS, SCORES
from declouds.runs import record as run_file

CELL = "cell.json"
STAGE_FOLDER = re.compile(r"\d+_")


@dataclass
class Listed:
    """A folder that is listed.

    Attributes:
        path: of the folder.
        kind: ``run``, ``cell`` or ``scores``.
        record: what its ``run.json`` says, if it has a readable one.
        cell: what its ``cell.json`` says.
        scores: what its ``results.json`` says, without the images.
        problems: one line for each file that cannot be read.
    """

    path: Path
    kind: str
    record: dict[str, Any] = field(default_factory=dict)
    cell: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def run_folder(self) -> Path:
        """The folder of the run itself."""
        return self.path / "run" if self.kind == "cell" else self.path

    @property
    def means(self) -> dict[str, float | None]:
        """The means of the method that stands for the run: ``DE``, else ``result``, else the last one."""
        methods = self.scores.get("methods", {})
        best = next((name for name in ("DE", "result") if name in methods), next(reversed(methods), None))
        return {} if best is None else {key: value.get("mean") for key, value in methods[best]["summary"].items()}

    @property
    def status(self) -> str:
        """What has become of it."""
        if self.cell.get("status") == "failed":
            return "failed"
        if self.record:
            return run_file.status_of(self.record)
        if self.kind == "cell":
            return str(self.cell.get("status", "unreadable"))
        if self.kind == "scores":
            return "measured" if self.scores else "unreadable"
        return "unreadable" if (self.path / run_file.NAME).exists() else "no record"

    def values(self) -> dict[str, Any]:
        """Return all that is known, under flat keys: of the table, the config, the record, the scores."""
        about = self.scores.get("about", {})
        record = {key: value for key, value in self.record.items() if key != "config"}
        session = self.record["sessions"][-1] if self.record else {}
        config = self.record.get("config", {})
        known: dict[str, Any] = {}
        for tree in (about, self.cell.get("values", {}), session, config, record):
            known |= flat(tree)
        return known | self.means | self._facts(about, config)

    def _facts(self, about: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries of the table that sum others up."""
        # The config of a cell is written by its sweep and always has the same name.
        file = None if self.kind == "cell" else self.record.get("config_file") or about.get("config")
        count = self.record.get("data", {}).get("train", {}).get("count")
        kind = config.get("datamodule", {}).get("type")
        tested = self.scores.get("split", {})
        data = f"{kind}, {count} to train on" if kind else None
        if self.kind == "scores" and tested:
            data = f"{tested.get('split', '')} {tested.get('part', '')}, {tested.get('count', '?')} images".strip()
        return dict(
            name=str(self.path),
            kind=self.kind,
            status=self.status,
            config=Path(file).stem if file else None,
            model=_summary(config.get("model", {})),
            data=data,
            stages=self._stages(),
            problem=self.problems[0] if self.problems else None,
        )

    def _stages(self) -> str | None:
        """Return how many stages are trained, of how many."""
        if self.record:
            done = [stage["status"] == "finished" for stage in self.record["stages"]]
            return f"{sum(done)}/{len(done)}"
        done = [(folder / "finished.pth").exists() for folder in _stage_folders(self.run_folder)]
        return f"{sum(done)}/?" if done else None


def find_listed(folder: Path) -> Iterator[Listed]:
    """Yield what is listed of a folder and everything below it, sorted by path; nothing within a run but its scores.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: give one that holds runs, for example work_dirs")
    for place, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if found := read_listed(Path(place)):
            names.clear()
            yield found


def read_listed(path: Path) -> Listed | None:
    """Return what a folder records, or None if it is not a run, cell or scores."""
    if (path / CELL).exists():
        found = Listed(path, "cell")
        found.cell = _read(found, path / CELL, {"values": dict})
    elif (path / run_file.NAME).exists() or ((path / "config.py").exists() and _stage_folders(path)):
        found = Listed(path, "run")
    elif (path / RESULTS).exists() and (path / "summary.csv").exists():
        found = Listed(path, "scores")
    else:
        return None
    if found.kind == "run" or (found.run_folder / run_file.NAME).exists():
        try:
            found.record = run_file.read_run_file(found.run_folder)
        except UserError as error:
            found.problems.append(str(error))
    results = path / RESULTS if found.kind == "scores" else path / SCORES / RESULTS
    if results.exists():
        needed = {"methods": dict, "about": dict, "split": dict, "protocols": dict}
        if scores := _read(found, results, needed, FORMAT):
            methods = {name: {"summary": method.get("summary", {})} for name, method in scores["methods"].items()}
            found.scores = scores | {"methods": methods}  # without the images, which are many
    return found


def give_scores(listed: Sequence[Listed]) -> None:
    """Give each run without scores of its own those of its weights, if exactly one folder of scores has them."""
    measured: dict[str, list[Listed]] = {}
    for scores in (entry for entry in listed if entry.kind == "scores"):
        measured.setdefault(_weights_of(scores.scores.get("about")), []).append(scores)
    for run in (entry for entry in listed if entry.kind == "run" and not entry.scores):
        found = measured.get(_weights_of(run.record), [])
        if _weights_of(run.record) and len(found) == 1:
            run.scores = found[0].scores


def _read(found: Listed, path: Path, needed: Mapping[str, type], version: int = 1) -> dict[str, Any]:
    """Return the JSON in a file; if it cannot be used, note why and return nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in needed.items()):
            found.problems.append(f"{path} was not written by declouds: it belongs elsewhere")
        elif content.get("format") != version:
            written = content.get("format", "unknown")
            found.problems.append(
                f"{path} was written by another version of declouds (format {written}, this one reads {version})"
            )
        else:
            return content
    except (OSError, ValueError) as error:
        found.problems.append(f"{path} cannot be read, maybe it is half-written ({error}): make it anew")
    return {}


def _weights_of(record: Mapping[str, Any] | None) -> str:
    """Return the digest of the weights that a run has ended in, or that scores are of."""
    return ((record or {}).get("weights") or {}).get("sha256", "")


def _stage_folders(run: Path) -> list[Path]:
    return [folder for folder in run.glob("[0-9]*_*") if STAGE_FOLDER.match(folder.name) and folder.is_dir()]


def _summary(model: Mapping[str, Any]) -> str | None:
    """Return the types of a model's networks."""
    named = [str(part["type"]) for part in model.values() if isinstance(part, dict) and "type" in part]
    return " + ".join(named) or None


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return dotted keys -> values; a part of a model stands for its ``type`` too.

    An entry of a list is called by its ``name``, if it has one, or by its place.
    """
    if isinstance(tree, Mapping):
        entries = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, Sequence) and any(isinstance(item, Mapping) for item in tree):
        entries = [
            (str(item.get("name", place)) if isinstance(item, Mapping) else str(place), item)
            for place, item in enumerate(tree)
        ]
    else:
        plain = isinstance(tree, Sequence) and not isinstance(tree, str)
        return {prefix: ", ".join(map(str, tree)) if plain else tree}
    found: dict[str, Any] = {prefix: tree["type"]} if prefix and isinstance(tree, Mapping) and "type" in tree else {}
    for key, value in entries:
        found |= flat(value, f"{prefix}.{key}" if prefix else key)
    return found
