"""What happens to a cell on a node of a Ray cluster."""

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from declouds.experiments.engines.cell_process import POLL, CellProcess, end_all
from declouds.experiments.engines.log import LOG, why_it_ended


def run_cell(
    folder: Path, token: str, command: Sequence[str], environment: Mapping[str, str], directory: Path
) -> tuple[int, str]:
    """Run a cell in a process that dies with this one, the worker; return its exit code and why it ended so.

    Args:
        folder: of the cell.
        token: stands in the cell's log if this node sees the folder that the sweep sees, not another of its name.
        command: what to run.
        environment: variables that differ from the node's.
        directory: where relative paths start from.
    """
    node = socket.gethostname()
    try:
        seen = token in (folder / LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        seen = False
    if not seen:
        return 1, f"node {node} does not see {folder} of this sweep: put it on a file system that all nodes share"
    if not directory.is_dir():
        return 1, f"node {node} has no folder {directory}: start the sweep in one that all nodes share"
    try:
        process = CellProcess(folder, command, environment, directory)
    except OSError as error:
        return 1, f"cannot start on node {node}: {error}"
    try:
        # In short steps: Ray cancels a task by an interrupt that Python takes between two of them.
        while (code := process.code()) is None:
            time.sleep(POLL)
    finally:
        end_all([process])
    return code, why_it_ended(folder, code)
