"""What the terminal shows of a sweep."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from declouds.experiments.engines.cell_process import LOG, last_lines

DRAW_EVERY = 0.5  # seconds
LINE_EVERY = 60.0  # the same where there is no terminal to draw a table in
STYLES = {
    "running": "bold",
    "failed": "red",
    "finished": "green",
    "skipped": "dim",
    "waiting": "dim",
    "stopped": "yellow",
}


@dataclass
class CellState:
    """How one cell gets on; the times are of the table's clock."""

    name: str
    state: str = "waiting"
    began: float = 0.0
    seconds: float = 0.0
    why: str = ""


class LiveTable:
    """A `Watch` that draws a line for every cell; without a terminal it writes one when a cell begins or ends.

    To be used in a ``with`` statement around the engine's `run`.

    Args:
        folders: of all cells, in the order of the table; the name of a folder is that of its cell.
        skipped: those of them that will not be run, being finished.
        jobs: how many run at a time, for the estimate of the time left.
        console: where to draw; stderr if not given.
        clock: gives the time in seconds.
        noun: what the cells are.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        skipped: Collection[Path] = (),
        jobs: int = 1,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        noun: str = "cells",
    ) -> None:
        self.cells = {folder: CellState(folder.name) for folder in folders}
        for folder in skipped:
            self.cells[folder].state = "skipped"
        self.jobs, self.clock, self.noun = jobs, clock, noun
        self.console = console or Console(file=sys.stderr)
        self.live: Live | None = None
        self.drawn = clock()

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live = Live(self.picture(), console=self.console, auto_refresh=False)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for cell in self.cells.values():
            if cell.state == "running":  # an engine leaves some only when it is interrupted
                cell.state, cell.seconds = "stopped", self.clock() - cell.began
        if self.live is not None:
            self.live.update(self.picture(), refresh=True)
            self.live.stop()
        else:
            self._print(self.summary())

    def started(self, folder: Path) -> None:
        """Note that a cell began."""
        cell = self.cells[folder]
        cell.state, cell.began = "running", self.clock()
        if self.live is None:
            self._print(f"{cell.name}: started")

    def ended(self, folder: Path, code: int, why: str) -> None:
        """Note how a cell ended."""
        cell = self.cells[folder]
        cell.state, cell.seconds, cell.why = "failed" if code else "finished", self.clock() - cell.began, why
        if self.live is None:
            reason = f": {why}" if why else ""
            self._print(f"{cell.name}: {cell.state} after {in_words(cell.seconds)}{reason}")

    def tick(self) -> None:
        """Redraw if that is due."""
        now = self.clock()
        if now - self.drawn < (LINE_EVERY if self.live is None else DRAW_EVERY):
            return
        self.drawn = now
        if self.live is None:
            self._print(self.summary())
        else:
            self.live.update(self.picture(), refresh=True)

    def summary(self) -> str:
        """Return how many cells are in which state, and how long the rest will take."""
        counts = Counter(cell.state for cell in self.cells.values())
        order = ("finished", "failed", "running", "stopped", "waiting", "skipped")
        parts = [f"{counts[state]} {state}" for state in order if counts[state]]
        left = self.seconds_left()
        if left:
            parts.append(f"about {in_words(left)} left")
        return f"{len(self.cells)} {self.noun}: {', '.join(parts)}"

    def seconds_left(self) -> float | None:
        """Return the time that the cells to come will take if they are like those that finished; None before those."""
        done = [cell.seconds for cell in self.cells.values() if cell.state == "finished"]
        if not done:
            return None
        each, now = sum(done) / len(done), self.clock()
        begun = [max(0.0, each - (now - cell.began)) for cell in self.cells.values() if cell.state == "running"]
        waiting = sum(cell.state == "waiting" for cell in self.cells.values())
        # No sooner than the one that runs longest, however many run side by side.
        return max([(sum(begun) + waiting * each) / self.jobs, each if waiting else 0.0, *begun])

    def picture(self) -> RenderableType:
        """Return the table as it stands, no higher than the terminal."""
        name = Column(no_wrap=True, overflow="ellipsis", max_width=max(20, self.console.width // 2))
        table = Table.grid(name, padding=(0, 2, 0, 0), expand=True)
        for _ in range(2):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        shown = self._shown(max(1, self.console.height - 3))
        for folder in shown:
            cell = self.cells[folder]
            state, elapsed = Text(cell.state, STYLES[cell.state]), Text(self._elapsed(cell))
            table.add_row(Text(cell.name), state, elapsed, Text(_doing(folder, cell)))
        more = len(self.cells) - len(shown)
        last = self.summary() + (f" ({more} not shown)" if more else "")
        return Group(table, Text(last, "bold", no_wrap=True, overflow="ellipsis"))

    def _shown(self, lines: int) -> list[Path]:
        # What runs or failed comes first where there are more cells than lines, then what is next and was last.
        ranks = {"running": 0, "stopped": 0, "failed": 1, "waiting": 2, "finished": 3, "skipped": 4}
        first = set(sorted(self.cells, key=lambda folder: ranks[self.cells[folder].state])[:lines])
        return [folder for folder in self.cells if folder in first]

    def _elapsed(self, cell: CellState) -> str:
        if cell.state in ("waiting", "skipped"):
            return ""
        return in_words(self.clock() - cell.began if cell.state == "running" else cell.seconds)

    def _print(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)


def in_words(seconds: float) -> str:
    """Return a duration for people: ``8 s``, ``12 min 5 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _doing(folder: Path, cell: CellState) -> str:
    if cell.state == "running":
        return (last_lines(folder / LOG, 4096) or ["starting"])[-1]
    return cell.why
