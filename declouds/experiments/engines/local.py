"""Cells side by side on this machine."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from declouds.errors import UserError
from declouds.experiments.engines.cell_process import POLL, CellProcess, Watch, end_all, why_it_ended
from declouds.experiments.engines.devices import core_count, visible_gpus
from declouds.runs.stop_signals import Interrupts


class LocalEngine:
    """Runs cells as processes of this machine, which share its cores and GPUs.

    Args:
        jobs: how many run side by side.
    """

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise UserError(f"--jobs {jobs}: at least one cell must run at a time")
        self.jobs = jobs

    def run(self, folders: Sequence[Path], command: Callable[[Path], list[str]], watch: Watch) -> None:
        """Run ``command(folder)`` for every folder, in order; that one fails does not stop the others.

        Raises:
            KeyboardInterrupt, SystemExit: when interrupted, after all processes have ended.
        """
        waiting = list(reversed(folders))
        free = [share for share in reversed(shares(min(self.jobs, len(folders))))]
        running: dict[Path, tuple[CellProcess, dict[str, str]]] = {}
        with Interrupts() as interrupts:
            try:
                while waiting or running:
                    interrupts.check()
                    while waiting and free:
                        folder, share = waiting.pop(), free.pop()
                        watch.started(folder)
                        try:
                            running[folder] = CellProcess(folder, command(folder), share), share
                        except (OSError, UserError) as error:
                            free.append(share)
                            watch.ended(folder, 1, f"cannot start: {error}")
                    for folder, (process, share) in list(running.items()):
                        code = process.code()
                        if code is not None:
                            del running[folder]
                            free.append(share)
                            watch.ended(folder, code, why_it_ended(folder, code))
                    watch.tick()
                    time.sleep(POLL)
            finally:
                end_all([process for process, _ in running.values()])


def shares(places: int) -> list[dict[str, str]]:
    """Return the environment variables that give each of ``places`` cells its share: one GPU, and as many cores.

    A GPU is taken by several where there are more cells than GPUs. OMP_NUM_THREADS is left as the user set it.
    """
    gpus = visible_gpus()
    found = []
    for place in range(places):
        share = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {}
        if "OMP_NUM_THREADS" not in os.environ:
            share["OMP_NUM_THREADS"] = str(max(1, core_count() // places))
        found.append(share)
    return found
