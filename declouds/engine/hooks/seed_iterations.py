"""Every iteration draws its own random numbers."""

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SeedIterations(Hook):
    """Seed torch before each iteration from the run's seed, the stage, the iteration and the process.

    So times, noise and dropout of an iteration do not depend on what came before it (an evaluation, a resume), and
    processes draw different ones.

    Args:
        seed: seed of the run.
        stage: number of the stage.
    """

    priority = "VERY_HIGH"

    def __init__(self, seed: int, stage: int) -> None:
        self.seed, self.stage = seed, stage

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the iteration; the factors keep the seeds of different runs, stages and processes apart."""
        torch.manual_seed(((self.seed * 101 + self.stage) * 4099 + get_rank()) * 100_000_007 + batch_idx)
