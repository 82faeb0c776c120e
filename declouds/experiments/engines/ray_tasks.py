"""The cells of one run as tasks of Ray."""

import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.experiments.engines.cell_process import (
    GRACE,
    LOG,
    POLL,
    CellProcess,
    Watch,
    end_all,
    why_it_ended,
    write_header,
)
from declouds.experiments.engines.devices import Node, fitting_share, places
from declouds.runs.stop_signals import Interrupts


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
    with Interrupts() as interrupts:  # Ray cancels a task by one, also while its process is being started
        try:
            process = CellProcess(folder, command, environment, directory)
        except OSError as error:
            return 1, f"cannot start on node {node}: {error}"
        try:
            while (code := process.code()) is None:
                interrupts.check()
                time.sleep(POLL)
        finally:
            end_all([process])
    return code, why_it_ended(folder, code)


RETRIES = 5  # how often a cell is started again because it was lost with its node
PAUSE = 5.0  # seconds before that: workers that lost their node need them to end, and their cells with them
LOOK_EVERY = 1.0  # seconds between looks at the nodes
PATIENCE = 600.0  # seconds to wait for a node that can hold a cell, once there is none
WAIT = 0.2  # seconds between two steps


class RayTasks:
    """Hands cells to a cluster, as many at a time as ``jobs``, and takes in how they ended.

    Cells lost with their node are handed out again here rather than by Ray, which would ask for the same share for
    ever, though no node may be left that has it.

    Args:
        ray: the module, connected to a cluster.
        jobs: how many run at a time.
        folders: of the cells, in order.
        command: what to run for a folder.
        watch: called with every event.

    Raises:
        UserError: if no node can hold a cell.
    """

    def __init__(
        self, ray: Any, jobs: int, folders: Sequence[Path], command: Callable[[Path], list[str]], watch: Watch
    ) -> None:
        self.ray, self.jobs, self.command, self.watch = ray, jobs, command, watch
        self.waiting, self.running = list(folders), dict[Any, Path]()
        self.losses, self.not_before = Counter[Path](), dict.fromkeys(folders, 0.0)
        self.token = uuid.uuid4().hex[:12]
        self.task = ray.remote(max_retries=0)(run_cell)
        nodes = self._nodes()
        self.with_gpu = any(node.get("GPU") for node in nodes)
        share = fitting_share(nodes, jobs, self.with_gpu)
        if share is None:
            raise UserError("the Ray cluster has no processor cores to give (see `ray status`)")
        self.share, self.looked, self.had_node = share, time.monotonic(), time.monotonic()

    def are_left(self) -> bool:
        """Say whether a cell waits or runs."""
        return bool(self.waiting or self.running)

    def step(self) -> None:
        """Hand out what there is a place for, and take in what ended.

        Raises:
            UserError: if no node was left that can hold a cell, and none came back.
        """
        if time.monotonic() - self.looked > LOOK_EVERY:
            self._adapt_to_nodes()
        ready = [folder for folder in self.waiting if time.monotonic() >= self.not_before[folder]]
        for folder in ready[: self.jobs - len(self.running)]:
            self.waiting.remove(folder)
            self._hand_out(folder)
        if self.running:
            for task in self.ray.wait(list(self.running), timeout=WAIT)[0]:
                self._take_in(task, self.running.pop(task))
        else:
            time.sleep(WAIT)

    def cancel(self) -> None:
        """Ask the processes of all cells to end, and wait until they did."""
        tasks = list(self.running)
        for task in tasks:
            self.ray.cancel(task)
        if tasks:
            self.ray.wait(tasks, num_returns=len(tasks), timeout=GRACE + 5)

    def _hand_out(self, folder: Path) -> None:
        if not self.not_before[folder]:
            self.watch.started(folder)
        try:
            write_header(folder, f"handed to Ray ({self.token})")
            command = self.command(folder.resolve())
        except (OSError, UserError) as error:
            self.watch.ended(folder, 1, f"cannot start: {error}")
            return
        environment = {name: value for name, value in os.environ.items() if name.startswith("DECLOUDS_")}
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(self.share.cpus))
        task = self.task.options(num_cpus=self.share.cpus, num_gpus=self.share.gpus, name=folder.name)
        self.running[task.remote(folder.resolve(), self.token, command, environment, Path.cwd())] = folder

    def _take_in(self, task: Any, folder: Path) -> None:
        try:
            self.watch.ended(folder, *self.ray.get(task))
        except self.ray.exceptions.RayTaskError as error:  # of our code there, such as another version of it
            self.watch.ended(folder, 1, f"Ray: {_last_line(error)}")
        except self.ray.exceptions.RayError as error:
            self.losses[folder] += 1
            if self.losses[folder] > RETRIES:
                why = f"lost with its node or worker {self.losses[folder]} times: {_last_line(error)}"
                self.watch.ended(folder, 1, why)
            else:
                self._put_back(folder)

    def _put_back(self, folder: Path) -> None:
        self.not_before[folder] = time.monotonic() + PAUSE
        self.waiting.insert(0, folder)

    def _adapt_to_nodes(self) -> None:
        self.looked, nodes = time.monotonic(), self._nodes()
        if any(places(node, self.share) for node in nodes):
            self.had_node = self.looked
            return
        share = fitting_share(nodes, self.jobs, self.with_gpu)
        if share is not None:
            # Submitted tasks wait for a node of a kind that no longer exists.
            self.share = share
            for task, folder in reversed(self.running.items()):
                self.ray.cancel(task)
                self._put_back(folder)
            self.running.clear()
        elif self.looked - self.had_node > PATIENCE:
            kind = "with a GPU" if self.with_gpu else "with processor cores"
            raise UserError(
                f"no node {kind} is left in the Ray cluster: start the sweep again once there is one, "
                "and it resumes where it stopped"
            )

    def _nodes(self) -> list[Node]:
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
