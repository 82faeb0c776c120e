"""Checkpoints of a running stage, with everything that an exact resume needs, as plain tensors and numbers.

Files are written under a temporary name and renamed, and the last two are kept, so that killing the process at any
moment leaves a usable one. They hold no pickled objects and are loaded with ``weights_only=True``. No random state is
stored: every iteration is seeded (see `SeedIterations`).
"""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.training.hooks import AverageWeights

KEEP = 2


def atomic_save(content: dict[str, Any], path: Path) -> None:
    """Write ``content`` under a temporary name, flush it to the disk, and rename it to ``path``.

    Raises:
        UserError: the file cannot be written, for example because the disk is full.
    """
    try:
        with replacing(path, only_writer=True) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be written ({reason}): free disk space, then continue with --resume") from error


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        UserError: the file is truncated or is not a checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} is not a readable checkpoint ({reason}): delete it to resume from the previous one"
        ) from error


def average_of(runner: Any) -> AverageWeights | None:
    """Return the EMA hook, if the run has one."""
    return next((hook for hook in runner.hooks if isinstance(hook, AverageWeights)), None)


@master_only
def save(runner: Any, iteration: int) -> None:
    """Write the checkpoint of ``iteration`` into the stage's folder and keep only the last ones."""
    average = average_of(runner)
    content = dict(
        iteration=iteration,
        model=runner.bare_model.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        schedulers=[scheduler.state_dict() for scheduler in _schedulers(runner)],
        average=None if average is None else average.state_dict(),
    )
    folder = Path(runner.work_dir)
    atomic_save(content, folder / f"iter_{iteration}.pth")
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a stage's folder, oldest first."""
    return sorted(folder.glob("iter_*.pth"), key=lambda path: int(path.stem.removeprefix("iter_")))


def restore(runner: Any) -> None:
    """Load the newest checkpoint of the stage's folder, if any, into model, optimisers, schedulers and EMA."""
    existing = checkpoints(Path(runner.work_dir))
    if not existing:
        return
    content = load(existing[-1])
    runner.bare_model.load_state_dict(content["model"], strict=True)
    runner.optim_wrapper.load_state_dict(content["optimizer"])
    for scheduler, state in zip(_schedulers(runner), content["schedulers"], strict=True):
        scheduler.load_state_dict(state)
    average = average_of(runner)
    if average is not None:
        average.load_state_dict(content["average"])
    runner.train_loop.iter = content["iteration"]
    runner.logger.info(f"resumed from {existing[-1]}")


def _schedulers(runner: Any) -> list[Any]:
    """Return the learning rate schedulers of all optimisers."""
    own = runner.param_schedulers or []
    return [scheduler for part in own.values() for scheduler in part] if isinstance(own, dict) else own


@HOOKS.register_module()
class SaveCheckpoints(Hook):
    """Write a checkpoint every ``interval`` iterations.

    Args:
        interval: iterations between checkpoints.
    """

    priority = "VERY_LOW"  # after the EMA update

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint if it is due."""
        done = batch_idx + 1
        if done % self.interval == 0 or done == runner.max_iters:  # the last one too, since a stage can be lengthened
            runner.train_loop.check_losses()  # never save weights after a non-finite loss
            save(runner, done)
