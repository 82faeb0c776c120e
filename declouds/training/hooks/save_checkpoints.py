"""When checkpoints are written."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from declouds.training import checkpoint


@HOOKS.register_module()
class SaveCheckpoints(Hook):
    """Write a checkpoint every ``interval`` iterations.

    Args:
        interval: iterations between checkpoints.
    """

    priority = "VERY_LOW"  # after the average has taken the iteration in

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint if it is time."""
        if (
            batch_idx + 1
        ) % self.interval == 0 or batch_idx + 1 == runner.max_iters:  # the last: a stage may be lengthened
            runner.train_loop.check_losses()  # never keep weights that a non-finite loss has spoilt
            checkpoint.save(runner, batch_idx + 1)
