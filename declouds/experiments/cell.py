"""A cell of a sweep: one config, its folder, and how far it has come."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.evaluation.results import read_run

FORMAT = 1
WAITING, FINISHED, FAILED = "waiting", "finished", "failed"


@dataclass
class State:
    """What ``cell.json`` says of a cell.

    Attributes:
        digest: of the cell's full config.
        values: axis -> name of the value, the seed included if it is an axis.
        status: waiting (also while it runs, or if that was interrupted), finished or failed.
        why: of a failure, one line.
        seconds: that the last process of the cell has taken.
    """

    digest: str
    values: dict[str, str] = field(default_factory=dict)
    status: str = WAITING
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Cell:
    """One combination of values.

    Args:
        name: of the cell and of its folder.
        values: axis -> name of the value.
        config: the full config, plain dicts and lists.
        folder: of the cell.
    """

    name: str
    values: dict[str, str]
    config: dict[str, Any]
    folder: Path

    @property
    def digest(self) -> str:
        """The digest of the full config."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()

    @property
    def results(self) -> Path:
        """The file of the scores."""
        return self.folder / "scores" / "results.json"

    def has_results(self) -> bool:
        """Return whether there are scores, whole and of this version."""
        try:
            read_run(self.results)
        except UserError:
            return False
        return True

    def state(self) -> State:
        """Return how far the cell has come.

        Raises:
            UserError: the folder holds another cell, or its record cannot be read.
        """
        if not (self.folder / "cell.json").exists():
            if (self.folder / "run").exists() or self.results.exists():
                raise UserError(f"{self.folder} has no cell.json with its config: remove it, or give another --out")
            return State(self.digest, self.values)
        state = read_state(self.folder)
        if state.digest != self.digest:
            raise UserError(
                f"{self.folder} holds results of another config than the sweep's: give another --out, or remove it"
            )
        return state

    def prepare(self) -> None:
        """Write config and record into the folder, if they are not there.

        Raises:
            UserError: the folder cannot be written.
        """
        if (self.folder / "cell.json").exists():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / "config.py") as temporary:
                Config(self.config).dump(temporary)
            write_state(self.folder, State(self.digest, self.values))
        except OSError as error:
            raise UserError(f"{self.folder} cannot be written to ({error.strerror}): give another --out") from error


def read_state(folder: Path) -> State:
    """Read a cell's record.

    Raises:
        UserError: it is missing, half-written or of another version.
    """
    path = folder / "cell.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise UserError(
                f"{path} was written by another version of declouds: remove {folder}, or give another --out"
            )
        return State(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a record of a cell ({type(error).__name__}): remove {folder} to run it again"
        ) from error


def write_state(folder: Path, state: State) -> None:
    """Write a cell's record, whole or not at all."""
    with replacing(folder / "cell.json") as temporary:
        temporary.write_text(json.dumps(dict(format=FORMAT) | vars(state), indent=1) + "\n", encoding="utf-8")
