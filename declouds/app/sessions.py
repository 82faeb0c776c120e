"""The pages that are open, and what they leave on the disk: nothing, once they are closed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event

PATIENCE = 60  # seconds that a job has to stop in: it asks after every batch of windows


class Stopped(Exception):
    """The user has stopped the job, or closed the page."""


class Sessions:
    """The open pages, by name. Each keeps the files of its last job, for the downloads, until its next one is done.

    Args:
        folder: holds everything that is uploaded or made; emptied when the last page is closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pages: dict[str, Path | None] = {}  # page -> folder of its last job
        self._jobs: dict[Path, tuple[str, Event]] = {}  # folder -> page, and what is set when the job should stop
        self._change = Condition()

    def open(self, page: str) -> None:
        """Note that a page is open."""
        with self._change:
            self._pages.setdefault(page, None)

    @contextmanager
    def job(self, page: str) -> Iterator[tuple[Path, Event]]:
        """Give a folder for a job, and what is set when the job should stop.

        The folder takes the place of that of the page's last job if the block ends well, else it is removed.
        """
        folder, stop = Path(tempfile.mkdtemp(prefix="job_", dir=self.folder)), Event()
        with self._change:
            self._pages.setdefault(page, None)
            self._jobs[folder] = page, stop
        spent: Path | None = folder
        try:
            yield folder, stop
            with self._change:
                if page in self._pages:  # else it was closed meanwhile
                    spent, self._pages[page] = self._pages[page], folder
        finally:
            _remove(spent)
            with self._change:
                del self._jobs[folder]
                self._sweep()
                self._change.notify_all()

    def stop(self, page: str) -> None:
        """Stop the job of a page, if it has one."""
        with self._change:
            for owner, stop in self._jobs.values():
                if owner == page:
                    stop.set()

    def close(self, page: str) -> None:
        """Stop the job of a page and remove its files; with the last page, all files."""
        self.stop(page)
        with self._change:
            _remove(self._pages.pop(page, None))
            self._sweep()

    def stop_all(self) -> None:
        """Stop all jobs, and wait until they have."""
        with self._change:
            for _, stop in self._jobs.values():
                stop.set()
            self._change.wait_for(lambda: not self._jobs, timeout=PATIENCE)

    def _sweep(self) -> None:
        """Remove all that is left when no page is open and no job runs, such as half an upload."""
        if not self._pages and not self._jobs:
            for path in self.folder.iterdir():
                _remove(path)


def _remove(path: Path | None) -> None:
    """Remove a file or folder, if it is there."""
    if path is None:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
