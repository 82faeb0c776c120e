"""Progress bar on terminals, with count and remaining time; it disappears when the work is done."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

AS_LINES = "DECLOUDS_PROGRESS"  # `lines` prints lines that another program reads, in place of a bar


@contextmanager
def progress_bar(title: str, total: int | None = None, *, shown: bool = True, in_bytes: bool = False) -> Iterator[Any]:
    """Show a progress bar on stderr while the block runs, if stderr is a terminal.

    With ``DECLOUDS_PROGRESS=lines`` in the environment it is lines such as ``progress 37% scene.tif`` instead, on any
    stderr: see `_Lines`.

    Args:
        title: label of the bar.
        total: number of steps or bytes; None if not known yet.
        shown: False shows no bar.
        in_bytes: count bytes instead of steps.

    Yields:
        function that updates the bar: ``advance=1``, or any of ``completed``, ``total`` and ``description``.
    """
    if os.environ.get(AS_LINES) == "lines":
        yield _Lines(title, total, shown)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import DownloadColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (DownloadColumn() if in_bytes else MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *Progress.get_default_columns()[:2], *columns, console=console, transient=True,
        disable=not (shown and console.is_terminal),
    ) as progress:  # fmt: skip
        task = progress.add_task(escape(title), total=total)

        def move(description: str | None = None, **changes: Any) -> None:
            progress.update(task, description=None if description is None else escape(description), **changes)

        yield move


class _Lines:
    """Progress as lines on stderr, one whenever the percentage or the label changes; none while the total is unknown.

    Args:
        title: label of the work.
        total: number of steps or bytes; None if not known yet.
        shown: False prints nothing.
    """

    def __init__(self, title: str, total: int | None, shown: bool) -> None:
        self.title, self.total, self.shown = title, total, shown
        self.completed, self.printed = 0, ""

    def __call__(
        self,
        description: str | None = None,
        *,
        advance: int = 0,
        completed: int | None = None,
        total: int | None = None,
    ) -> None:
        """Count, and print."""
        self.title = " ".join((description or self.title).split())
        self.completed = (self.completed if completed is None else completed) + advance
        self.total = self.total if total is None else total
        if not (self.shown and self.total):
            return
        line = f"progress {min(100 * self.completed // self.total, 100)}% {self.title}"
        if line != self.printed:
            print(line, file=sys.stderr, flush=True)
        self.printed = line


def tracked(items: Sequence[T], title: str) -> Iterator[T]:
    """Yield the items, with a progress bar."""
    with progress_bar(title, len(items)) as move:
        for item in items:
            yield item
            move(advance=1)
