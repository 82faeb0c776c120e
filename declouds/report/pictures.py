"""Pictures of an evaluation: results as image files, and cloudy, prior, result and clear side by side."""

from pathlib import Path

import numpy as np
import torch

from declouds.image_io import write_image
from declouds.value_range import ValueRange


def write_result(folder: Path, name: str, image: torch.Tensor, units: ValueRange, overwrite: bool = False) -> Path:
    """Write an image in sensor units: PNG for 1 or 3 bands of 8 bits, else GeoTIFF (a fourth band of a PNG is opacity).

    Shapes: (C, H, W).
    Units: [-1, 1].

    Raises:
        UserError: the file exists and ``overwrite`` is False, or cannot be written.
    """
    values = units.from_model(image.cpu().numpy(), _dtype_for(units))
    suffix = ".png" if values.dtype == np.uint8 and len(values) in (1, 3) else ".tif"
    return write_image(folder / f"{name}{suffix}", values, overwrite)


def write_side_by_side(folder: Path, name: str, images: list[torch.Tensor], overwrite: bool = False) -> Path:
    """Write images of one size beside each other as PNG: the first three bands, or the first one as grey.

    Shapes: (C, H, W) each.
    Units: [-1, 1].

    Raises:
        UserError: the file exists and ``overwrite`` is False, or cannot be written.
    """
    rgb = [(image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)).cpu().numpy() for image in images]
    values = ValueRange(0, 255).from_model(np.concatenate(rgb, axis=2), "uint8")
    return write_image(folder / f"{name}.png", values, overwrite)


def _dtype_for(units: ValueRange) -> np.dtype:
    """Return the type that holds the units: uint8 for 0 to 255, uint16 for wider counts, else float32."""
    if (units.low, units.high) == (0, 255):
        return np.dtype(np.uint8)
    if 0 <= units.low and 255 < units.high <= np.iinfo(np.uint16).max:
        return np.dtype(np.uint16)
    return np.dtype(np.float32)
