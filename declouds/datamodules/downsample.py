"""Smaller images and maps, for training from coarse to fine and for data sets at half their stored size."""

import torch
import torch.nn.functional as F

from declouds.errors import UserError


def downsample(image: torch.Tensor, factor: int) -> torch.Tensor:
    """Divide height and width by ``factor``: bicubic, antialiased, in floats and never rounded to the sensor's type.

    The kernel is Keys' cubic with a = -0.5, widened by ``factor``, as in MATLAB's ``imresize``: torch uses a = -0.5
    with antialiasing, and -0.75 without. They differ at the border alone, in the outermost ``2 * factor`` pixels of the
    input: MATLAB mirrors the image there, torch leaves out what lies outside and rescales the weights.

    Shapes: (C, H, W) -> (C, H / factor, W / factor).

    Raises:
        UserError: ``factor`` does not divide the size.
    """
    if factor == 1:
        return image
    size = downsampled_size(image.shape[-2], image.shape[-1], factor)
    return F.interpolate(image[None].float(), size=size, mode="bicubic", antialias=True)[0]


def any_of(pixels: torch.Tensor, factor: int) -> torch.Tensor:
    """Return a map at a smaller size, True where any of the pixels under one is. Shapes: as `downsample`, of bool."""
    return pixels if factor == 1 else F.max_pool2d(pixels.float(), factor).bool()


def downsampled_size(height: int, width: int, factor: int) -> tuple[int, int]:
    """Return the size of a downsampled image.

    Raises:
        UserError: ``factor`` does not divide it.
    """
    if height % factor or width % factor:
        raise UserError(f"an image of {height}x{width} cannot be reduced by {factor}: choose a factor of both sides")
    return height // factor, width // factor
