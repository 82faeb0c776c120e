"""Cells on a cluster, through Ray."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.experiments.engines.cell_process import Watch
from declouds.experiments.engines.devices import core_count
from declouds.experiments.engines.ray_tasks import RayTasks
from declouds.runs.stop_signals import Interrupts

# Read by Ray when it is imported or started.
SETTINGS = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # no line of a node's log on the terminal of the user
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_memory_monitor_refresh_ms": "0",  # a cell that is too large is ended by the system, as without Ray
}


class RayEngine:
    """Runs cells as tasks of a Ray cluster, each in a process of its own; one lost with its node is started again.

    It then resumes from its checkpoints, so the cells' folders must be on a file system that all nodes see. declouds
    must be installed on all nodes, at the same place.

    Args:
        jobs: how many run at a time.
        address: of a running cluster; else that of the variable RAY_ADDRESS; else Ray is started on this machine.

    Raises:
        UserError: if Ray is not installed.
    """

    def __init__(self, jobs: int, address: str | None = None) -> None:
        if jobs < 1:
            raise UserError(f"--jobs {jobs}: at least one cell must run at a time")
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise UserError("Ray, which runs cells on a cluster, is an extra: pip install 'declouds[ray]'") from error
        self.jobs, self.address, self.ray = jobs, address or os.environ.get("RAY_ADDRESS"), ray

    def run(self, folders: Sequence[Path], command: Callable[[Path], list[str]], watch: Watch) -> None:
        """Run ``command(folder)`` for every folder, in order; that one fails does not stop the others.

        Raises:
            UserError: if there is no cluster, or none of its nodes can run a cell.
            KeyboardInterrupt, SystemExit: when interrupted, after all processes have ended.
        """
        with Interrupts() as interrupts:
            try:
                self._connect()
                interrupts.listen()  # Ray takes some signals for itself
                tasks = RayTasks(self.ray, self.jobs, folders, command, watch)
                try:
                    while tasks.are_left():
                        interrupts.check()
                        tasks.step()
                        watch.tick()
                finally:
                    tasks.cancel()
            finally:
                self.ray.shutdown()

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.address and self.address != "local":
                _check_answers(self.address)
                self.ray.init(address=self.address, **quiet)
            else:
                quiet |= {"include_dashboard": False, "object_store_memory": 80 * 2**20}  # it holds exit codes alone
                self.ray.init(address="local", num_cpus=max(core_count(), self.jobs), **quiet)
        except Exception as error:  # Ray has no kind of its own for these
            lines = str(error).strip().splitlines() or [type(error).__name__]
            where = f"at {self.address}" if self.address else "on this machine"
            raise UserError(f"no Ray cluster {where}: {lines[0]} (see `ray start` and `ray status`)") from error


def _check_answers(address: str) -> None:
    # Ray itself tries for minutes.
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()
