"""Every iteration draws its own random numbers."""

import hashlib
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
        """Seed the iteration by a digest, which keeps runs, stages, processes and iterations apart."""
        place = f"{self.seed} {self.stage} {get_rank()} {batch_idx}".encode()
        torch.manual_seed(int.from_bytes(hashlib.blake2b(place, digest_size=7).digest()))
