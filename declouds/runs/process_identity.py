"""Which process writes a file, so that others can check later whether it still runs."""

import os
import platform
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return what identifies this process among all, on any machine, before and after a restart."""
    return dict(_this_system(), pid=os.getpid(), started=_start_of(os.getpid()))


def is_running(process: dict[str, Any]) -> bool | None:
    """Return whether a process is still there; None if that is unknown on this machine."""
    if {key: process.get(key) for key in _this_system()} != _this_system() or process.get("started") is None:
        return None
    return _start_of(process["pid"]) == process["started"]


def _this_system() -> dict[str, Any]:
    """Return the machine, its start, and the container: numbers of processes mean something only within them."""
    return dict(
        host=platform.node(), boot=_text(Path("/proc/sys/kernel/random/boot_id")), container=_link("/proc/self/ns/pid")
    )


def _start_of(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks; None if there is none, or this is not Linux."""
    status = _text(Path(f"/proc/{pid}/stat"))
    if status is None:
        return None
    state, *fields = status.rpartition(")")[2].split()  # the name in brackets may hold anything
    return None if state in "ZX" else int(fields[18])  # dead, its parent has not asked yet


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
