"""How much memory is left for what depends on the size of a scene."""

from collections.abc import Sequence

import torch

from declouds.errors import UserError
from declouds.hardware import peak_memory
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.memory import compute_zeros
from declouds.scenes.sampling.passes import Pass
from declouds.scenes.sampling.tiles import windows

COPIES = 3  # the rows of the blend, the part of them that moves up when others leave, and those being written
REST = 256 * 2**20  # what does not grow: columns being stepped, blocks of the output, GDAL's cache


def buffer_within(
    memory: int,
    passes: Sequence[Pass],
    bands: int,
    in_bands: int,
    image: Image,
    options: SceneOptions,
    device: torch.device,
) -> int:
    """Return the bytes that the blend may take, so that the process keeps to ``memory``.

    What the network takes is measured, by computing one batch of each kind of pass.

    Raises:
        UserError: that is more already.
    """
    shape = (min(options.tile, image.height), min(options.tile, image.width))
    batch = min(options.batch_size or 1, len(windows(image.height, image.width, options.tile, options.overlap)))
    compute_zeros(passes, in_bands, bands, batch, shape, device)
    if not peak_memory():
        raise UserError(
            "--memory: this system does not say how much memory a process takes: use a smaller --tile instead"
        )
    channels = max(step.channels for step in passes) + 1
    smallest = 4 * channels * shape[0] * 2 * shape[1]
    taken = peak_memory() + REST
    if memory < taken + COPIES * smallest:
        raise UserError(
            f"--memory {memory / 2**30:.3g} GiB: the network alone takes {taken / 2**30:.3g} GiB with windows of "
            f"{options.tile} pixels, {options.batch_size or 1} at a time: give at least "
            f"{(taken + COPIES * smallest) / 2**30:.2f} GiB, or use a smaller --tile or --batch-size"
        )
    return (memory - taken) // COPIES
