"""The log of a cell, `log.txt` in its folder: what it says last, read without reading all of it."""

import re
import signal
import time
from pathlib import Path

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
    # Terminal codes would reach the terminal of whoever shows the line.
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
