"""Images of a run for TensorBoard."""

from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils.data import Dataset


@HOOKS.register_module()
class DrawPanels(Hook):
    """Add a row of images for the first evaluation images: cloudy, what the model records of its last step, clear.

    In maps, black is 0 and white is 1.

    Args:
        images: the evaluation data set.
        count: number of images.
    """

    def __init__(self, images: Dataset, count: int = 2) -> None:
        self.images, self.count = images, count

    @torch.no_grad()
    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Draw the panels while the averaged weights are still in the model."""
        if not is_main_process():
            return
        model = runner.bare_model
        device = next(model.parameters()).device
        for index in range(min(self.count, len(self.images))):  # type: ignore[arg-type]
            sample = self.images[index]
            cloudy, noise = (sample[key][None].to(device) for key in ("cloudy", "noise"))
            tiles = [cloudy, *_result_tiles(model, cloudy, noise, sample["name"]), sample["clear"][None]]
            panel = np.concatenate([_to_rgb(tile[0].float().cpu()) for tile in tiles], axis=1)
            runner.visualizer.add_image(f"panel/{sample['name']}", panel, step=runner.iter)


def _result_tiles(model: Any, cloudy: torch.Tensor, noise: torch.Tensor, name: str) -> list[torch.Tensor]:
    """Return what the model records of its last step, or its result if it records nothing."""
    last: dict[str, torch.Tensor] = {}
    result = model.predict(cloudy, noise, name=[name], record=last.update)
    scaled = [2 * last[key] - 1 if kind == "map" else last[key] for key, kind in model.recorded.items() if key in last]
    return scaled or [result]


def _to_rgb(image: torch.Tensor) -> np.ndarray:
    """Turn the first three bands of an image in [-1, 1] into (H, W, 3) uint8; one or two bands become grey."""
    bands = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    return ((bands.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
