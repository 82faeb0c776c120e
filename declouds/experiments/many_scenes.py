"""Many scenes, each cleared by `declouds predict` in a process of its own: on this machine or on a cluster's nodes."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.experiments.live_table import LiveTable

LOGS = ".declouds"  # folder beside the results; it goes when all scenes are cleared


def clear_scenes(
    engine: Any, scenes: Sequence[tuple[Path, Path]], flags: Sequence[str], jobs: int, overwrite: bool = False
) -> dict[Path, str]:
    """Clear scenes and show one table of progress; return source -> why, of those that could not be cleared.

    A scene whose result exists is left alone, so the same call resumes an interrupted one. One that was lost with
    its node is started again and continues from the work beside its result; if that was complete, nothing is done.

    Args:
        engine: a `LocalEngine` or `RayEngine`.
        scenes: sources and destinations, whose names differ; all in one folder.
        flags: of `declouds predict`, the same for all scenes.
        jobs: how many scenes at a time, for the estimate of the time left.
        overwrite: also clear scenes whose result exists.

    Raises:
        UserError: see the engine.
    """
    logs = scenes[0][1].parent / LOGS
    tasks = {logs / destination.name: (source, destination) for source, destination in scenes}
    before = {folder.name: _stamp(destination) for folder, (_, destination) in tasks.items()}
    done = [folder for folder in tasks if before[folder.name] is not None and not overwrite]
    todo = [folder for folder in tasks if folder not in done]
    begun: set[str] = set()

    def command(folder: Path) -> list[str]:
        source, destination = tasks[logs / folder.name]
        if _stamp(destination) != before[folder.name]:  # finished by a process whose end was lost with its node
            return [sys.executable, "-c", ""]
        # What was begun here is continued.
        kept = [flag for flag in flags if flag != "--restart" or folder.name not in begun]
        begun.add(folder.name)
        return [sys.executable, "-m", "declouds", "predict", os.fspath(source), "-o", str(destination), *kept]

    for folder in todo:
        folder.mkdir(parents=True, exist_ok=True)
    with LiveTable(list(tasks), done, jobs, noun="scenes") as table:
        if todo:
            engine.run(todo, command, table)
    failures: dict[Path, str] = {}
    for folder in todo:
        if table.cells[folder].state == "finished":
            shutil.rmtree(folder, ignore_errors=True)
        else:
            failures[tasks[folder][0]] = f"{table.cells[folder].why} (log: {folder / 'log.txt'})"
    if not failures:
        shutil.rmtree(logs, ignore_errors=True)
    return failures


def flags_of(choices: Mapping[str, Any]) -> list[str]:
    """Write choices as flags: ``dict(mask_values=[1, 2], cog=True)`` is ``--mask-values=1,2 --cog``."""
    flags = []
    for name, value in choices.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags.append(f"{flag}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    return flags


def _stamp(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None
