"""An image in memory, cleared in the same overlapping windows as a scene in a file."""

from typing import Any

import numpy as np
import torch

from declouds.errors import UserError
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.loop import PassLoop
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.passes import clear_name, noise_of
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
    """Clear one image, whole or in windows: the first of `clear_samples`.

    Shapes: cloudy (in_bands, H, W) -> (bands, H, W), on the image's device.
    """
    return clear_samples(model, cloudy, noise_seed, 1, tiling, variant, name)[0]


def clear_samples(
    model: Any,
    cloudy: torch.Tensor,
    noise_seed: int,
    samples: int,
    tiling: Tiling | None = None,
    variant: str | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Clear one image several times, each from other noise, whole or in windows.

    Args:
        model: a `CloudRemover`.
        cloudy: the image, in [-1, 1].
        noise_seed: seed of the fields of noise, as `noise_seed` gives it for the image's name.
        samples: how often; sample k starts from `noise_of` (k), as in scenes.
        tiling: the windows; an image that fits one is cleared whole, as every image is without a tiling.
        variant: one of the model's variants in place of its own result.
        name: of the image, for models that look something up by it.

    Shapes: cloudy (in_bands, H, W) -> (samples, bands, H, W), on the image's device.

    Raises:
        UserError: windows of a model that looks images up by name; see also `CloudRemover.passes` and `Tiling.check`.
    """
    height, width = cloudy.shape[-2:]
    if tiling is None or max(height, width) <= tiling.tile:
        names = None if name is None else [name]
        streams = (noise_of(sample).stream for sample in range(samples))
        fields = (noise_field(noise_seed, model.bands, 0, 0, height, width, stream) for stream in streams)
        noises = (torch.as_tensor(field)[None].to(cloudy) for field in fields)
        return torch.cat([model.predict(cloudy[None], noise, name=names, variant=variant).float() for noise in noises])
    if model.needs_names:
        raise UserError(
            "this model looks images up by name, so they cannot be cut into windows: leave the tile size out"
        )
    tiling.check()
    values = cloudy.float().cpu().numpy()

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        return values[..., *window.slices], np.ones((window.height, window.width), bool)

    image, job = Image(height, width, read, ValueRange(-1.0, 1.0)), MemoryJob(height, width)
    passes = model.passes(variant=variant, blend=tiling.blend, samples=samples)
    grid = windows(height, width, tiling.tile, tiling.overlap)
    loop = PassLoop(image, grid, job, model.bands, tiling, noise_seed, device=cloudy.device)
    loop.run(passes, [Window(0, 0, height, width)], Ranks())
    rasters = (job.raster(clear_name(sample), passes[-1].output_bands) for sample in range(samples))
    results = [raster.read(Window(0, 0, height, width))[: model.bands] for raster in rasters]
    return torch.from_numpy(np.stack(results)).to(cloudy.device)
