"""Hooks that make results: the EMA of the weights, the seed of every iteration, evaluation by windows."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn
from torch.optim.swa_utils import AveragedModel

from declouds.scenes.sampling.noise import noise_seed
from declouds.scenes.sampling.tiled import clear_image
from declouds.scenes.sampling.tiles import Tiling


@HOOKS.register_module()
class AverageWeights(Hook):
    """Average the trained parts, and evaluate and publish the average (EMA, Polyak & Juditsky 1992).

    MMEngine's EMAHook would copy and average the frozen reference too. The decay rises as ``(1 + n) / (10 + n)`` to its
    final value, so that short runs are not held back by their first weights.

    Args:
        decay: final decay of the average.
    """

    priority = "NORMAL"

    def __init__(self, decay: float = 0.9999) -> None:
        self.decay = decay
        self._raw: list[torch.Tensor] | None = None

    def before_run(self, runner: Any) -> None:
        """Start the average at the present weights (a checkpoint, if any, is loaded after this)."""
        model = runner.bare_model
        self.parts = nn.ModuleDict({part: getattr(model, part) for part in sorted(model.trained)})
        self.average = AveragedModel(self.parts, multi_avg_fn=self._update, use_buffers=False)
        self.average.requires_grad_(False)

    @torch.no_grad()
    def _update(
        self, averaged: Sequence[torch.Tensor], present: Sequence[torch.Tensor], count: torch.Tensor | int
    ) -> None:
        number = int(count)
        decay = min(self.decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(list(averaged), list(present), 1 - decay)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take the new weights into the average."""
        self.average.update_parameters(self.parts)

    def before_val(self, runner: Any) -> None:
        """Put the average into the model."""
        self._raw = [parameter.detach().clone() for parameter in self.parts.parameters()]
        self._copy(list(self.average.module.parameters()))

    def after_val(self, runner: Any) -> None:
        """Put the raw weights back."""
        if self._raw is not None:
            self._copy(self._raw)
            self._raw = None

    @torch.no_grad()
    def _copy(self, values: Sequence[torch.Tensor]) -> None:
        for parameter, value in zip(self.parts.parameters(), values, strict=True):
            parameter.copy_(value)

    def part_state_dict(self) -> dict[str, torch.Tensor]:
        """Return the averaged weights under the model's own keys."""
        return self.average.module.state_dict()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the average and its count."""
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the average and its count."""
        self.average.load_state_dict(state, strict=True)


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


@HOOKS.register_module()
class TiledEvaluation(Hook):
    """Clear large images by overlapping windows in the evaluation loop and score them at full size.

    Args:
        seed: of the start noise, which also depends on the image's name.
        tile: side of a window; images up to this size are cleared in one piece.
        overlap: pixels that neighbouring windows share.
        blend: ``joint`` or ``final``, as `Tiling`; samplers that cannot be stepped from outside need ``final``.
    """

    def __init__(self, seed: int = 0, tile: int = 256, overlap: int = 64, blend: str = "joint") -> None:
        self.seed, self.tiling = seed, Tiling(tile, overlap, blend=blend)
        self.tiling.check()

    def before_val(self, runner: Any) -> None:
        """Let the model clear images in windows."""
        model = runner.bare_model

        def restore(cloudy: torch.Tensor, name: list[str]) -> torch.Tensor:
            tiling = None if model.needs_names else self.tiling  # what is looked up by name cannot be cut
            images = [
                clear_image(model, image, noise_seed(one, self.seed), tiling, name=one)
                for image, one in zip(cloudy, name, strict=True)
            ]
            return torch.stack(images)

        model.restore = restore

    def after_val(self, runner: Any) -> None:
        """Let the model clear whole images again."""
        runner.bare_model.restore = None
