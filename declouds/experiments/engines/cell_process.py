"""One cell in a process of its own: started, watched, its log read, ended."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from declouds.experiments.engines import leash

LOG = "log.txt"
HEADER = "=== "  # begins the line that each attempt writes first
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def write_header(folder: Path, words: str) -> None:
    """Begin a new part of the log; what earlier attempts wrote stays above."""
    with open(folder / LOG, "a", encoding="utf-8") as log:
        log.write(f"{HEADER}{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n")


def last_lines(log: Path, size: int = 65536) -> list[str]:
    """Return the lines of the present attempt in the last ``size`` bytes: plain text, none of them empty."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - size))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    # Terminal codes would reach the terminal that shows the line.
    plain = ("".join(filter(str.isprintable, ESCAPES.sub("", line))).strip() for line in text.splitlines())
    lines: list[str] = []
    for line in filter(None, plain):
        if line.startswith(HEADER):
            lines.clear()
        else:
            lines.append(line)
    return lines


def why_it_ended(folder: Path, code: int) -> str:
    """Return one line on an end with ``code``, as `Watch.ended` takes it: the user's fault by its own words if any."""
    if code == 0:
        return ""
    if code < 0:
        hint = ", perhaps out of memory" if code == -signal.SIGKILL else ""
        return f"killed by signal {-code}{hint}"
    lines = last_lines(folder / LOG)
    faults = [line.removeprefix("declouds: ") for line in lines if line.startswith("declouds: ")]
    return (faults or lines or [f"exit code {code}, with nothing in {folder / LOG}"])[-1]


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


GRACE = 10.0  # seconds that a process asked to end is given before it is killed
POLL = 0.1  # seconds between looks at processes


class CellProcess:
    """A command whose output goes to the log of a cell, which leaves no process behind and never outlives us.

    It leads a process group of its own: a Ctrl-C in the terminal reaches us alone, and what it started in turn
    (workers of data loaders) ends with it.

    Args:
        folder: of the cell.
        command: what to run.
        environment: variables that differ from ours.
        directory: where relative paths of the command start from, if not where ours do.

    Raises:
        OSError: if the log cannot be written or no process be started.
    """

    def __init__(
        self, folder: Path, command: Sequence[str], environment: Mapping[str, str], directory: Path | None = None
    ) -> None:
        write_header(folder, shlex.join(command))
        tied = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command]
        # Unbuffered: what a cell prints is seen while it runs.
        variables = {"PYTHONUNBUFFERED": "1", **os.environ, **environment}
        with open(folder / LOG, "ab") as log:
            self._process = subprocess.Popen(
                tied,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                cwd=directory,
                start_new_session=True,
            )

    def code(self) -> int | None:
        """Return the exit code, below zero for a signal, or None while the process runs."""
        if self._process.returncode is None:
            if not hasattr(os, "waitid"):  # Windows, where a process has no group
                return self._process.poll()
            # Its id, and so that of its group, is ours until it is reaped: only now is it safe to kill what is left.
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            self.kill()
            self._process.wait()
        return self._process.returncode

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process alone: it knows best how to end what it started."""
        if self.code() is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and all that it started."""
        if self._process.returncode is None:
            if not hasattr(os, "killpg"):
                self._process.kill()
                return
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # all of them ended already


def end_all(processes: Collection[CellProcess], grace: float = GRACE) -> None:
    """Ask processes to end, wait for them, and kill those that are left after ``grace`` seconds or on a Ctrl-C."""
    try:
        for process in processes:
            process.ask_to_end()
        until = time.monotonic() + grace
        while time.monotonic() < until and any(process.code() is None for process in processes):
            time.sleep(POLL)
    finally:
        for process in processes:
            process.kill()
        while any(process.code() is None for process in processes):
            time.sleep(POLL)
