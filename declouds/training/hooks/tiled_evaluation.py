"""Images larger than the training patch are evaluated in windows, as scenes are."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from declouds.scenes.sampling.noise import noise_seed
from declouds.scenes.sampling.tiled import clear_image
from declouds.scenes.sampling.tiles import Tiling


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
