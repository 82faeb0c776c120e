"""Progress bar on terminals, with count and remaining time; it disappears when the work is done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def progress_bar(title: str, total: int | None = None, *, shown: bool = True, in_bytes: bool = False) -> Iterator[Any]:
    """Show a progress bar on stderr while the block runs, if stderr is a terminal.

    Args:
        title: label of the bar.
        total: number of steps or bytes; None if not known yet.
        shown: False shows no bar.
        in_bytes: count bytes instead of steps.

    Yields:
        function that updates the bar: ``advance=1``, or any of ``completed``, ``total`` and ``description``.
    """
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


def tracked(items: Sequence[T], title: str) -> Iterator[T]:
    """Yield the items, with a progress bar."""
    with progress_bar(title, len(items)) as move:
        for item in items:
            yield item
            move(advance=1)
