"""A sweep: which cells are to be run, their running, and the table that they end in."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.experiments.cell import FAILED, FINISHED, Cell, read_state, write_state


class Sweep:
    """The cells of a sweep in a folder.

    Args:
        cells: to be run.
        retry: run those again that have failed.

    Raises:
        UserError: a folder holds another cell.
    """

    def __init__(self, cells: Sequence[Cell], retry: bool = False) -> None:
        self.cells = list(cells)
        self.states = {cell.folder: cell.state() for cell in cells}
        self.retry = retry

    def to_run(self) -> list[Cell]:
        """Return the cells that are not finished; of those that failed, only if they are to be tried again."""
        return [cell for cell in self.cells if not self._is_done(cell)]

    def run(self, engine: Any, command: Callable[[Path], list[str]], watch: Any) -> None:
        """Run what is not finished; ``engine`` and ``watch`` as in `declouds.experiments.engines`."""
        todo = self.to_run()
        for cell in todo:
            cell.prepare()
        if todo:
            engine.run([cell.folder for cell in todo], command, _Recorder(watch))

    def failures(self) -> dict[str, str]:
        """Return name -> why, of the cells that have failed."""
        states = {cell.name: cell.state() for cell in self.cells}
        return {name: state.why for name, state in states.items() if state.status == FAILED}

    def finished(self) -> list[Cell]:
        """Return the cells that have results."""
        return [cell for cell in self.cells if cell.results.exists() and cell.state().status != FAILED]

    def _is_done(self, cell: Cell) -> bool:
        # Results without the record that says so: the sweep was killed between the two.
        return not self.retry if self.states[cell.folder].status == FAILED else cell.results.exists()


class _Recorder:
    """Keeps the cells' records, and passes on what it is told."""

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
            write_state(folder, replace(read_state(folder), status=status, why=why, seconds=seconds))
        except OSError as error:
            raise UserError(f"{folder} cannot be written to ({error.strerror}): free the disk, then go on") from error
        self.watch.ended(folder, code, why)

    def tick(self) -> None:
        self.watch.tick()
