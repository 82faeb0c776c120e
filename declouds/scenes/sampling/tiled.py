"""An image in memory, predicted window by window."""

from collections.abc import Callable

import torch

from declouds.scenes.sampling.tiles import blend_weights, check_tiling, windows

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (cloudy, noise) -> clear, all (B, C, H, W) in [-1, 1]


def predict_tiled(
    predict: Predict, cloudy: torch.Tensor, noise: torch.Tensor, tile: int, overlap: int, batch_size: int = 1
) -> torch.Tensor:
    """Predict overlapping windows and blend them, so that an image need not fit the network's memory.

    Args:
        predict: ``(cloudy, noise) -> clear``.
        cloudy: images of any size; smaller than a tile, they are predicted whole.
        noise: start noise of the whole images: windows see their own part of it.
        tile: height and width of a window.
        overlap: pixels that neighbours share at least.
        batch_size: windows predicted at a time.

    Shapes: cloudy (B, in_bands, H, W), noise (B, bands, H, W) -> (B, bands, H, W).

    Raises:
        UserError: see `check_tiling`.
    """
    check_tiling(tile, overlap, batch_size)
    height, width = cloudy.shape[-2:]
    grid = windows(height, width, tile, overlap)
    clear = torch.zeros_like(noise)
    for start in range(0, len(grid), batch_size):
        batch = grid[start : start + batch_size]
        parts = predict(
            torch.cat([cloudy[..., *window.slices] for window in batch]),
            torch.cat([noise[..., *window.slices] for window in batch]),
        )
        for window, part in zip(batch, parts.split(len(cloudy)), strict=True):
            weights = torch.from_numpy(blend_weights(window, height, width, overlap)).to(clear)
            clear[..., *window.slices] += weights * part
    return clear
