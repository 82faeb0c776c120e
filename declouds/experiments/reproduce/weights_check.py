"""Are the weights of a row on this machine, and are they those of its recipe?"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.experiments.reproduce.data_check import MISSING, TO_TRAIN, WRONG, Data, Obstacle
from declouds.experiments.reproduce.table import Row
from declouds.models import model_class
from declouds.training.settings import plain
from declouds.training.stage import stage_configs
from declouds.weights.file import read_weights
from declouds.weights.zoo import fetch


class Weights(NamedTuple):
    """A file of weights with its digest; None for both where a row needs no weights."""

    file: Path | None
    sha256: str | None


def find_weights(row: Row, config: Config, data: Data, work_dirs: Path) -> Weights:
    """Return the weights of a row; published ones are fetched.

    Raises:
        Obstacle: they cannot be fetched, the run has not been trained or has not ended, or it is of another recipe.
    """
    if row.zoo is not None:
        try:
            file = fetch(row.zoo)
        except UserError as error:
            raise Obstacle(MISSING, str(error)) from error
    elif row.run is not None:
        file = _of_run(row, config, data, work_dirs / row.run)
    else:
        return Weights(None, None)
    return Weights(file, file_digest(file))


def training_command(row: Row, config: Path, root: Path, work_dirs: Path) -> list[str]:
    """Return the words of the command that trains a row's run, or resumes it."""
    folder = work_dirs / str(row.run)
    resume = ["--resume"] if (folder / "config.py").exists() else []
    options = [*row.cfg_options, f"datamodule.root={root}"]
    return ["train", str(config), "--work-dir", str(folder), *resume, "--cfg-options", *options]


def for_shell(words: list[str]) -> str:
    """Return a command as one types it."""
    return shlex.join(["declouds", *words])


def for_process(words: list[str]) -> list[str]:
    """Return a command as a process of its own runs it, with this very Python."""
    return [sys.executable, "-m", "declouds", *words]


def _of_run(row: Row, config: Config, data: Data, folder: Path) -> Path:
    file = folder / "model.safetensors"
    if not file.exists():
        begun = (folder / "config.py").exists()
        raise Obstacle(TO_TRAIN, f"its run in {folder} has not ended" if begun else f"there is no run in {folder}")
    try:
        record = read_weights(file).record
    except UserError as error:
        raise Obstacle(WRONG, str(error)) from error
    if faults := list(_differing(record, config, data)):
        raise Obstacle(
            WRONG, f"{file} is of another recipe than {config.filename}: another {', another '.join(faults)}"
        )
    return file


def _differing(record: dict[str, Any], config: Config, data: Data) -> list[str]:
    """Say in what a run differs from the recipe; its networks are compared when they are loaded."""
    model = model_class(config.model)
    given = {part for part in model.parts if config.get(f"{part}_weights", "train") != "train"}
    stages = stage_configs(config, model)
    wanted = {stage["name"]: plain(stage) for stage in stages if not given.issuperset(stage["train"])}
    trained = {stage["name"]: stage for stage in record.get("stages", [])}
    names = [*wanted, *(name for name in trained if name not in wanted)]
    faults = [f"stage {name}" for name in names if not _same(trained.get(name), wanted.get(name))]
    precision = config.get("precision", "fp32")
    wished = dict(seed=config.get("seed", 0)) | ({} if precision == "auto" else dict(precision=precision))
    faults += [f"{key} ({record.get(key)}, not {value})" for key, value in wished.items() if record.get(key) != value]
    if record.get("splits", {}).get("train", {}).get("digest") != data.found["train"].names:
        faults.append("list of training images")
    return faults


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
