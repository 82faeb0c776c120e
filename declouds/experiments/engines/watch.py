"""Who is told how the cells get on."""

from pathlib import Path
from typing import Protocol


class Watch(Protocol):
    """What an engine calls, always in the thread that called its `run`."""

    def started(self, folder: Path) -> None:
        """A cell was handed to a process of its own (under Ray: to the cluster, where it may wait for a place)."""

    def ended(self, folder: Path, code: int, why: str) -> None:
        """A cell came to its end: ``code`` 0 is success with ``why`` empty, else ``why`` is one line on what happened.

        A ``code`` below zero names the signal that killed the process. What runs when the sweep is interrupted is
        ended without this call.
        """

    def tick(self) -> None:
        """Some time went by; called a few times a second."""
