"""Downsampling of images and masks, for coarse-to-fine training and data sets at reduced size."""

import torch
import torch.nn.functional as F

from declouds.errors import UserError


def downsample(image: torch.Tensor, factor: int) -> torch.Tensor:
    """Divide height and width by ``factor``: bicubic with antialiasing, in float, without rounding to the stored type.

    The kernel is Keys' cubic with a = -0.5, widened by ``factor``, as in MATLAB's ``imresize`` (torch uses a = -0.5
    with antialiasing, -0.75 without). They differ only in the outermost ``2 * factor`` input pixels: MATLAB mirrors the
    image, torch drops samples outside and renormalises the weights.

    Shapes: (C, H, W) -> (C, H / factor, W / factor).

    Raises:
        UserError: ``factor`` does not divide the size.
    """
    if factor == 1:
        return image
    size = downsampled_size(image.shape[-2], image.shape[-1], factor)
    return F.interpolate(image[None].float(), size=size, mode="bicubic", antialias=True)[0]


def any_of(pixels: torch.Tensor, factor: int) -> torch.Tensor:
    """Downsample a mask: True where any of the covered pixels is. Shapes: as `downsample`, of bool."""
    return pixels if factor == 1 else F.max_pool2d(pixels.float(), factor).bool()


def downsampled_size(height: int, width: int, factor: int) -> tuple[int, int]:
    """Return the size of a downsampled image.

    Raises:
        UserError: ``factor`` does not divide it.
    """
    if height % factor or width % factor:
        raise UserError(f"a {height}x{width} image cannot be downsampled by {factor}: choose a divisor of both sides")
    return height // factor, width // factor
