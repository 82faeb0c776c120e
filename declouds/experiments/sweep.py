"""A sweep: which cells are to be run, and their running."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.experiments.cell import FAILED, FINISHED, Cell, State, read_state, write_state
from declouds.experiments.sweep_file import SweepFile

BUSY = 75  # exit code of a cell that another process is running (EX_TEMPFAIL)


class Sweep:
    """The cells of a sweep in a folder.

    Args:
        cells: to be run; those whose folder cannot be used are failures from the start, and the others run.
        retry: run those again that have failed.
    """

    def __init__(self, cells: Sequence[Cell], retry: bool = False) -> None:
        self.cells = list(cells)
        self.retry = retry
        self.unusable: dict[str, str] = {}
        self.states: dict[Path, State] = {}
        for cell in cells:
            try:
                self.states[cell.folder] = cell.state()
            except UserError as error:
                self.unusable[cell.name] = str(error)

    def to_run(self) -> list[Cell]:
        """Return the cells that are not finished; of those that failed, only if they are to be tried again."""
        return [cell for cell in self.cells if cell.folder in self.states and not self._is_done(cell)]

    def run(self, engine: Any, command: Callable[[Path], list[str]], watch: Any) -> None:
        """Run what is not finished; ``engine`` and ``watch`` as in `declouds.experiments.engines`."""
        todo = self.to_run()
        for cell in todo:
            cell.prepare()
        if todo:
            engine.run([cell.folder for cell in todo], command, _Recorder(watch))

    def failures(self) -> dict[str, str]:
        """Return name -> why, of the cells that have failed or cannot be run."""
        states = {cell.name: cell.state() for cell in self.cells if cell.folder in self.states}
        return self.unusable | {name: state.why for name, state in states.items() if state.status == FAILED}

    def _is_done(self, cell: Cell) -> bool:
        # Results without the record that says so: the sweep was killed between the two.
        return not self.retry if self.states[cell.folder].status == FAILED else cell.has_results()


def finished_cells(sweep_file: SweepFile, folder: Path) -> list[Cell]:
    """Return every cell of a sweep that has results in ``folder``, whichever were chosen and with whichever seeds."""
    seeds = set()
    for path in sorted((folder / "cells").glob("*/cell.json")):
        try:
            seeds |= {int(seed) for axis, seed in read_state(path.parent).values.items() if axis == "seed"}
        except UserError:
            continue  # `Sweep` reports it
    cells = sweep_file.cells(folder)
    if seeds and not any(axis.name == "seed" for group in sweep_file.groups for axis in group):
        cells = sweep_file.cells(folder, seeds=sorted(seeds | {sweep_file.base.get("seed", 0)}))
    usable = Sweep(cells)
    return [
        cell
        for cell in cells
        if cell.folder in usable.states and usable.states[cell.folder].status != FAILED and cell.has_results()
    ]


class _Recorder:
    """Keeps the cells' records, and passes events on."""

    def __init__(self, watch: Any) -> None:
        self.watch = watch
        self.since: dict[Path, float] = {}

    def started(self, folder: Path) -> None:
        self.since[folder] = time.monotonic()
        self.watch.started(folder)

    def ended(self, folder: Path, code: int, why: str) -> None:
        seconds = round(time.monotonic() - self.since.pop(folder, time.monotonic()), 1)
        status, why = (FINISHED, "") if code == 0 else (FAILED, why or f"exit code {code}")
        try:
            if code != BUSY:  # the record is then another process's to write
                write_state(folder, replace(read_state(folder), status=status, why=why, seconds=seconds))
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written to ({error.strerror}): free disk space, then repeat"
            ) from error
        self.watch.ended(folder, code, why)

    def tick(self) -> None:
        self.watch.tick()
