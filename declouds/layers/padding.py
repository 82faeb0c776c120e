"""Padding for networks that need multiples of a size: pad, then crop the result; never resize."""

import torch
import torch.nn.functional as F


def pad_to_multiple(image: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad ``image`` at the bottom and right to multiples of ``multiple``, by reflection, or replication if too small.

    Shapes: (B, C, H, W) -> (B, C, H', W'); crop the result with ``[..., :H, :W]``.
    """
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if bottom == 0 and right == 0:
        return image
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, bottom), mode=mode)
