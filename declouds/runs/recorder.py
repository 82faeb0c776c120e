"""The story of a run, ``run.json`` in its folder: what was trained, from what, by what, on what, and at what cost.

The main process writes it at the start, after every stage, now and then in between, and at the end. A run that was
resumed has several sessions; its seconds and joules are their sums.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_gather_object, get_world_size, is_main_process

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.runs.cost import Meter
from declouds.runs.machine import device_name, machine_facts
from declouds.runs.process_identity import is_running, this_process
from declouds.runs.record import FORMAT, NAME, read_run_file
from declouds.runs.stop_signals import StoppedError, stop_signals


class RunRecord:
    """Keeps the record of a run while its ``with`` block trains.

    Every process enters the block, and the main one writes. Signals that ask to end raise `StoppedError` in it.

    Args:
        folder: of the run.
        about: what the run is: its config, seed and data, as plain values.
        runs: the stages that are trained.
        launcher: what started the processes.

    Raises:
        UserError: on entry, the folder cannot be written, its record not be read, or another process trains the run.
    """

    def __init__(self, folder: Path, about: dict[str, Any], runs: Sequence[Any], launcher: str) -> None:
        self.path = folder / NAME
        device = torch.device(get_device())
        devices: list[str] = all_gather_object(device_name(device))
        facts = dict(devices=devices, processes=get_world_size(), launcher=launcher, process=this_process())
        self._session: dict[str, Any] = dict(started=_now(), ended=None, status="running", error=None, **facts)
        stages = [_stage_entry(run) for run in runs]
        self._record: dict[str, Any] = dict(
            format=FORMAT, status="running", error=None, **about, weights=None, stages=stages, sessions=[]
        )
        self._lock, self._failed_to_write = threading.RLock(), False
        self._meter = Meter(device, self._write)
        self._training: Any = None  # the stage, and what to add to the meter's seconds
        self._block = ExitStack()

    def __enter__(self) -> "RunRecord":
        if is_main_process():
            self._take_over()
            self._session |= machine_facts()
        self._record["sessions"].append(self._session)
        self._block.enter_context(self._meter)
        try:
            self._update()
        except OSError as error:
            self._block.close()
            raise UserError(
                f"{self.path} cannot be written ({error}): make room, or give another --work-dir"
            ) from error
        self._block.enter_context(stop_signals())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._lock:
            status, line = _ending(error)
            self._session |= dict(status=status, error=line, ended=_now())
            self._record |= dict(status=status, error=line)
            self._write()
        self._block.close()

    @contextmanager
    def training(self, name: str) -> Iterator[None]:
        """Count the time of the block as training of a stage."""
        with self._lock:
            stage = self._stage(name)
            stage["status"], self._training = "training", (stage, stage["seconds"] - self._meter.seconds)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._read_meter()
                self._training = None

    def finish_stage(self, name: str, trained_in: str | None = None) -> None:
        """Note that a stage is trained: in its folder, or in that of another run."""
        with self._lock:
            stage = self._stage(name)
            stage["status"] = "finished"
            stage["trained_in"] = trained_in or stage["folder"]
            self._write()

    def finish(self, weights: dict[str, Any]) -> None:
        """Note the weights file that the run has ended in."""
        with self._lock:
            self._record["weights"] = weights

    def _take_over(self) -> None:
        """Go on with the record of the sessions before, if there is one.

        Raises:
            UserError: it cannot be read, or the process of the last session still runs.
        """
        if not self.path.exists():
            return
        before = read_run_file(self.path.parent)
        last = before["sessions"][-1]
        if last["status"] == "running":
            process = last["process"]
            if is_running(process) and process != self._session["process"]:
                raise UserError(
                    f"{self.path.parent} is being trained by process {process['pid']}: wait for it, or stop it first"
                )
            last |= dict(status="stopped", error="killed, or the machine went down", ended=before["updated"])
        self._record["sessions"] = before["sessions"]
        known = {stage["name"]: stage for stage in before["stages"]}
        kept = ("status", "seconds", "trained_in")
        for stage in self._record["stages"]:
            stage |= {key: known[stage["name"]][key] for key in kept if stage["name"] in known}

    def _stage(self, name: str) -> dict[str, Any]:
        return next(stage for stage in self._record["stages"] if stage["name"] == name)

    def _read_meter(self) -> None:
        """Bring all figures up to date."""
        self._session |= self._meter.readings()
        if self._training is not None:
            stage, offset = self._training
            stage["seconds"] = round(offset + self._meter.seconds, 3)
        sessions = self._record["sessions"]
        joules = [session["energy"]["joules"] for session in sessions]
        silent = [session["energy"]["reason"] for session in sessions if session["energy"]["joules"] is None]
        self._record |= dict(
            started=sessions[0]["started"],
            updated=_now(),
            ended=self._session["ended"],
            seconds=round(sum(session["seconds"] for session in sessions), 3),
            peak_memory=max(session["peak_memory"] for session in sessions),
            energy=dict(joules=None if silent else round(sum(joules), 1), reason=silent[0] if silent else None),
        )

    def _update(self) -> None:
        """Write the record as it is now.

        Raises:
            OSError: the disk is full, or the folder was removed.
        """
        with self._lock:
            self._read_meter()
            if is_main_process():
                with (
                    replacing(self.path, only_writer=True) as temporary,
                    open(temporary, "w", encoding="utf-8") as file,
                ):
                    json.dump(self._record, file, indent=1, default=str)
                    file.flush()
                    os.fsync(file.fileno())

    def _write(self) -> None:
        """Write the record; if that is not possible, say so once and leave it to the next time: training continues."""
        try:
            self._update()
        except OSError as error:
            if not self._failed_to_write:
                print(
                    f"declouds: {self.path} cannot be written ({error}): training continues",
                    file=sys.stderr,
                    flush=True,
                )
            self._failed_to_write = True
        else:
            if self._failed_to_write:
                print(f"declouds: {self.path} is written again", file=sys.stderr, flush=True)
            self._failed_to_write = False


def _stage_entry(run: Any) -> dict[str, Any]:
    stage = run.stage
    return dict(
        name=stage.name,
        folder=f"{run.number}_{stage.name}",
        trains=list(stage.train),
        iterations=stage.iterations,
        samples=stage.iterations * stage.batch_size,
        status="waiting",
        seconds=0.0,
        trained_in=None,
    )


def _ending(error: BaseException | None) -> tuple[str, str | None]:
    """Return the status that a block ends with, and the error in one line."""
    if error is None:
        return "finished", None
    if isinstance(error, StoppedError):
        return "interrupted", error.signal
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "from the keyboard"
    # Out of a loader's worker a UserError comes wrapped in a traceback, its own words last.
    text = str(error).rsplit("declouds.errors.UserError: ", 1)[-1].strip()
    line = (text.splitlines() or [""])[0]
    return "failed", line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
