"""An image in memory, cleared in the same overlapping windows as a scene in a file."""

from typing import Any

import numpy as np
import torch

from declouds.errors import UserError
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.loop import PassLoop
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.passes import clear_name
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.store import MemoryJob
from declouds.scenes.sampling.tiles import Tiling, Window, windows
from declouds.value_range import ValueRange


def clear_image(
    model: Any,
    cloudy: torch.Tensor,
    noise_seed: int,
    tiling: Tiling | None = None,
    variant: str | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Clear one image, whole or in windows.

    Args:
        model: a `CloudRemover`.
        cloudy: the image, in [-1, 1].
        noise_seed: seed of the field of noise, as `noise_seed` gives it for the image's name.
        tiling: the windows; an image that fits one is cleared whole, as every image is without a tiling.
        variant: one of the model's variants in place of its own result.
        name: of the image, for models that look something up by it.

    Shapes: cloudy (in_bands, H, W) -> (bands, H, W), on the image's device.

    Raises:
        UserError: windows of a model that looks images up by name; see also `CloudRemover.passes` and `Tiling.check`.
    """
    height, width = cloudy.shape[-2:]
    if tiling is None or max(height, width) <= tiling.tile:
        noise = torch.as_tensor(noise_field(noise_seed, model.bands, 0, 0, height, width))[None].to(cloudy)
        names = None if name is None else [name]
        return model.predict(cloudy[None], noise, name=names, variant=variant)[0].float()
    if model.needs_names:
        raise UserError(
            "this model looks images up by name, so they cannot be cut into windows: leave the tile size out"
        )
    tiling.check()
    values = cloudy.float().cpu().numpy()

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        return values[..., *window.slices], np.ones((window.height, window.width), bool)

    image, job = Image(height, width, read, ValueRange(-1.0, 1.0)), MemoryJob(height, width)
    passes = model.passes(variant=variant, blend=tiling.blend)
    grid = windows(height, width, tiling.tile, tiling.overlap)
    loop = PassLoop(image, grid, job, model.bands, tiling, noise_seed, device=cloudy.device)
    loop.run(passes, [Window(0, 0, height, width)], Ranks())
    result = job.raster(clear_name(0), passes[-1].output_bands).read(Window(0, 0, height, width))
    return torch.from_numpy(result[: model.bands]).to(cloudy.device)
