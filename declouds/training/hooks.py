"""Hooks: EMA of the weights, seeding of iterations, record of losses, tiled evaluation."""

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.registry import HOOKS
from torch import nn

from declouds.scenes.sampling.noise import noise_seed
from declouds.scenes.sampling.tiled import clear_image
from declouds.scenes.sampling.tiles import Tiling

GRADIENT_NORM = "gradient_norm"  # where an optimiser leaves the norm of its gradient, on the device, for `RecordLosses`


@HOOKS.register_module()
class AverageWeights(Hook):
    """EMA of the trained parts, used for evaluation and the final weights (Polyak & Juditsky 1992).

    MMEngine's EMAHook would copy and average the frozen reference too. The decay rises as ``(1 + n) / (10 + n)`` to its
    final value, so that the initial weights do not dominate short runs.

    Args:
        decay: final decay of the EMA.
    """

    priority = "NORMAL"

    def __init__(self, decay: float = 0.9999) -> None:
        self.decay = decay
        self._raw: list[torch.Tensor] | None = None

    def before_run(self, runner: Any) -> None:
        """Initialise the EMA with the current weights (a checkpoint, if any, is loaded later)."""
        model = runner.bare_model
        self.parts = nn.ModuleDict({part: getattr(model, part) for part in sorted(model.trained)})
        self.average = copy.deepcopy(self.parts).requires_grad_(False)
        self.updates = 0  # a plain number: torch's AveragedModel would wait for the GPU to read it in every iteration

    @torch.no_grad()
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update the EMA."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        torch._foreach_lerp_(list(self.average.parameters()), list(self.parts.parameters()), 1 - decay)
        for averaged, present in zip(self.average.buffers(), self.parts.buffers(), strict=True):
            averaged.copy_(present)
        self.updates += 1

    def before_val(self, runner: Any) -> None:
        """Swap the EMA weights into the model."""
        self._raw = [parameter.detach().clone() for parameter in self.parts.parameters()]
        self._copy(list(self.average.parameters()))

    def after_val(self, runner: Any) -> None:
        """Restore the online weights."""
        if self._raw is not None:
            self._copy(self._raw)
            self._raw = None

    @torch.no_grad()
    def _copy(self, values: Sequence[torch.Tensor]) -> None:
        for parameter, value in zip(self.parts.parameters(), values, strict=True):
            parameter.copy_(value)

    def part_state_dict(self) -> dict[str, torch.Tensor]:
        """Return the EMA weights under the model's keys."""
        return self.average.state_dict()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the EMA weights and the number of updates."""
        return {**self.average.state_dict(), "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the EMA weights and the number of updates."""
        self.updates = int(state["updates"])
        self.average.load_state_dict({key: value for key, value in state.items() if key != "updates"}, strict=True)


@HOOKS.register_module()
class RecordLosses(RuntimeInfoHook):
    """MMEngine's record of losses and gradient norms, read from the GPU once per log interval, not every iteration.

    Args:
        interval: iterations between logs.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._unread: list[dict[str, torch.Tensor]] = []

    def before_train(self, runner: Any) -> None:
        """Begin with the iteration that is trained next, whose losses are read at once."""
        super().before_train(runner)
        self.first = runner.iter

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the losses on the device, and read all that were kept if a log is due."""
        norm = runner.message_hub.get_info(GRADIENT_NORM)
        self._unread.append({**(outputs or {}), **({} if norm is None else {"grad_norm": norm})})
        done = batch_idx + 1
        if done % self.interval == 0 or done == runner.max_iters or batch_idx == self.first:
            names = [f"train/{name}" for one in self._unread for name in one]
            values = torch.stack([value.detach().float().mean() for one in self._unread for value in one.values()])
            for name, value in zip(names, values.tolist(), strict=True):
                runner.message_hub.update_scalar(name, value)
            self._unread.clear()


@HOOKS.register_module()
class SeedIterations(Hook):
    """Seed torch before each iteration from the run's seed, the stage, the iteration and the process.

    Timesteps, noise and dropout of an iteration thus do not depend on earlier events (an evaluation, a resume), and
    differ between processes.

    Args:
        seed: seed of the run.
        stage: number of the stage.
    """

    priority = "VERY_HIGH"

    def __init__(self, seed: int, stage: int) -> None:
        self.seed, self.stage = seed, stage

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the iteration from a digest that is unique to run, stage, process and iteration."""
        place = f"{self.seed} {self.stage} {get_rank()} {batch_idx}".encode()
        torch.manual_seed(int.from_bytes(hashlib.blake2b(place, digest_size=7).digest()))


@HOOKS.register_module()
class TiledEvaluation(Hook):
    """Clear large images in overlapping windows in the evaluation loop and score them at full size.

    Args:
        seed: seed of the start noise, which also depends on the image's name.
        tile: window size in pixels; images up to this size are cleared whole.
        overlap: overlap of neighbouring windows in pixels.
        blend: ``joint`` or ``final``, see `Tiling`; samplers without single steps need ``final``.
    """

    def __init__(self, seed: int = 0, tile: int = 256, overlap: int = 32, blend: str = "joint") -> None:
        self.seed, self.tiling = seed, Tiling(tile, overlap, blend=blend)
        self.tiling.check()

    def before_val(self, runner: Any) -> None:
        """Make the model clear images in windows."""
        model = runner.bare_model

        def restore(cloudy: torch.Tensor, name: list[str]) -> torch.Tensor:
            tiling = None if model.needs_names else self.tiling  # priors looked up by name cannot be tiled
            images = [
                clear_image(model, image, noise_seed(image_name, self.seed), tiling, name=image_name)
                for image, image_name in zip(cloudy, name, strict=True)
            ]
            return torch.stack(images)

        model.restore = restore

    def after_val(self, runner: Any) -> None:
        """Make the model clear whole images again."""
        runner.bare_model.restore = None
