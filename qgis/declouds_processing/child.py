"""The `declouds` command as a child process: command line, environment, progress and end. Needs no QGIS."""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

COMMAND_VARIABLE = "DECLOUDS_COMMAND"
AUTOMATIC, NONE = "automatic", "none"
MASKS = (AUTOMATIC, "scl", "qa_pixel", "udm2", "fmask", NONE)
# QGIS sets these for its own Python, GDAL and PROJ; those of declouds would look for their files there.
OF_QGIS = ("PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA")
PROGRESS = re.compile(r"progress (\d+)% (.*)")
ERROR = re.compile(r"declouds( \w+)?: ")
SUBDATASET = re.compile(r'\w+:"?(.+?)"?:[^:]+')  # as GDAL writes it: NETCDF:"file.nc":red
PATIENCE = 10  # seconds that a child has to end when it is asked to


class ChildError(Exception):
    """What went wrong, as one line for the user."""


def find_command(setting: str) -> list[str]:
    """Return the words that start `declouds`.

    Args:
        setting: the command that the user has set: a path, or a command with arguments; empty if none is.

    Raises:
        ChildError: there is no such command, with how to install it.
    """
    chosen = setting.strip() or os.environ.get(COMMAND_VARIABLE, "").strip() or "declouds"
    command = [chosen] if shutil.which(chosen) else words(chosen)  # a path with spaces is one word
    if command and shutil.which(command[0]):
        return command
    raise ChildError(
        f"{chosen}: no such command: install declouds in a Python of its own (pip install declouds), and give the path "
        "of its command in Settings > Options > Processing > Providers > declouds, or in the environment variable "
        f"{COMMAND_VARIABLE}"
    )


def words(text: str) -> list[str]:
    """Return the words of a command line, with quotation marks around those that hold spaces.

    Raises:
        ChildError: a quotation mark is not closed.
    """
    try:
        if os.name == "nt":  # where a backslash is part of a path
            return [word.strip('"') for word in shlex.split(text, posix=False)]
        return shlex.split(text)
    except ValueError as error:
        raise ChildError(f"{text}: a quotation mark is not closed: add it") from error


def file_of(layer: str, provider: str, source: str) -> str:
    """Return the file of a raster layer.

    Args:
        layer: its name, for messages.
        provider: that reads it, such as ``gdal``.
        source: what the provider reads.

    Raises:
        ChildError: it is no file on this computer.
    """
    path = source.split("|")[0]  # options for opening it come after
    inside = SUBDATASET.fullmatch(path)
    if provider == "gdal" and (os.path.exists(path) or (inside and os.path.isfile(inside[1]))):
        return path
    raise ChildError(
        f"layer '{layer}' is not a file on this computer ({provider}): save it as a GeoTIFF first (right-click on the "
        "layer > Export > Save As), and choose that"
    )


def mask_flags(mask: str, file: str | None = None) -> list[str]:
    """Return the flags that say what is cloud.

    Args:
        mask: one of `MASKS`; with a file, the product that this is of, or ``automatic`` for a mask of clear and cloud.
        file: a mask raster.

    Raises:
        ChildError: the two contradict each other.
    """
    if file is None:
        return ["--mask", "auto" if mask == AUTOMATIC else mask]
    if mask == NONE:
        raise ChildError("a mask layer is chosen, and the cloud mask is 'none': leave out one of them")
    return ["--mask", file, *([] if mask == AUTOMATIC else ["--mask-kind", mask])]


def unfinished(output: str) -> Path:
    """Return the folder in which `declouds` keeps unfinished work on an output."""
    path = Path(output)
    return path.with_name(f".{path.name}.partial")


def quality_of(output: str) -> str:
    """Return the quality maps that `declouds` writes beside an output when it is asked to."""
    path = Path(output)
    return str(path.with_name(f"{path.stem}_quality.tif"))


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the child: without what is for the Python of QGIS, and with progress as lines."""
    kept = {name: value for name, value in ours.items() if name not in OF_QGIS}
    return dict(kept, DECLOUDS_PROGRESS="lines", PYTHONUNBUFFERED="1", PYTHONUTF8="1")


def run(
    command: Sequence[str],
    output: str,
    on_progress: Callable[[int, str], None],
    on_line: Callable[[str], None],
    is_canceled: Callable[[], bool],
) -> None:
    """Run `declouds` to its end.

    Args:
        command: the words of the command line.
        output: the file that it writes; what a cancelled child leaves of it is removed.
        on_progress: takes the percentage, and what is being done.
        on_line: takes every other line that it prints, but its last words in an error.
        is_canceled: tells whether it is to be stopped.

    Raises:
        ChildError: it ended with an error, which is in its own words; or it was cancelled.
    """
    was_there, last, error = unfinished(output).exists(), "", ""
    process = _start(command)
    try:
        for line in _lines_until(process, is_canceled):
            if found := PROGRESS.fullmatch(line):
                on_progress(int(found[1]), found[2])
            elif ERROR.match(line):
                error = line
            elif line:
                on_line(line)
                last = line
        if is_canceled() and process.poll() is None:
            raise ChildError("declouds was cancelled")
        process.wait()
    finally:
        if process.poll() is None:
            _stop(process)
            if not was_there:  # else an earlier command left it, and can resume from it
                shutil.rmtree(unfinished(output), ignore_errors=True)
    if process.returncode:
        raise ChildError(error or _unexpected(process.returncode, last))


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a child, in the process group of QGIS: Ctrl-C in the terminal of `qgis_process` ends it too."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(os.environ),
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise ChildError(
            f"{command[0]}: cannot be started ({error.strerror}): is it the command of declouds?"
        ) from error


def _lines_until(process: subprocess.Popen[str], is_canceled: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of a child until it closes its output, or is to be stopped: while it is silent too."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def forward() -> None:
        with process.stdout as printed:
            for line in printed:
                lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=forward, daemon=True).start()
    while not is_canceled():
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line


def _stop(process: subprocess.Popen[str]) -> None:
    """End a child; on Windows with what it has started, since a command there starts its Python as another process."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unexpected(code: int, line: str) -> str:
    """Return what to say of a child that ended without an error of its own."""
    if code < 0:
        return f"declouds was ended by signal {-code}, as systems do when memory runs out: close other programs"
    return f"declouds ended with exit code {code}: {line or 'it printed nothing'}"
