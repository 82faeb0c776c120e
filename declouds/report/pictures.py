"""Images of an evaluation as files: results, methods side by side, and maps in colour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

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


LONGEST = 1024  # pixels of the longer side of a picture
PERCENTILES = (2, 98)  # of the clear image: what becomes black and white where values are not 8-bit colours
COLOURS = (("red", "green", "blue"), ("b04", "b03", "b02"))  # the second are Sentinel-2's
ERROR = {"map": "inferno", "low": 0.0, "high": 10.0, "unit": "% of the range"}
WEIGHT = {"map": "viridis", "low": 0.0, "high": 1.0, "unit": ""}
STOPS = 16  # colours of a legend

Limits = Sequence[tuple[float, float]]


def bands_to_show(band_names: Sequence[str], bands: int) -> list[int]:
    """Return the positions of red, green and blue by the bands' names, else of the first three, or of the one."""
    named = [name.lower() for name in band_names]
    for colours in COLOURS:
        if len(named) == bands and set(colours) <= set(named):
            return [named.index(colour) for colour in colours]
    return [0, 1, 2] if bands >= 3 else [0]


def limits_of(clear: torch.Tensor, shown: Sequence[int], units: ValueRange) -> Limits:
    """Return, per band shown, the values that become black and white: all of 8 bits, else what the clear image has."""
    if (units.low, units.high) == (0, 255):
        return [(-1.0, 1.0)] * len(shown)
    found = [np.percentile(clear[band].cpu().numpy(), PERCENTILES) for band in shown]
    return [(float(low), float(high)) for low, high in found]


def picture(image: torch.Tensor, shown: Sequence[int], limits: Limits, longest: int = LONGEST) -> np.ndarray:
    """Return an image as a picture. Shapes: (C, H, W) -> (3, h, w) uint8. Units: [-1, 1]."""
    values = reduced(image[list(shown)].float(), longest).cpu().numpy()
    low, high = np.array(limits, np.float64).T[..., None, None]
    scaled = 255 * (values - low) / np.where(high > low, high - low, 1)
    return np.broadcast_to(np.clip(np.rint(scaled), 0, 255), (3, *values.shape[1:])).astype(np.uint8)


def map_picture(values: torch.Tensor, scale: dict[str, Any], longest: int = LONGEST) -> np.ndarray:
    """Return a map in the colours of a fixed scale. Shapes: (H, W) -> (3, h, w) uint8."""
    shown = reduced(values[None].float(), longest)[0].cpu().numpy()
    position = np.clip((shown - scale["low"]) / (scale["high"] - scale["low"]), 0, 1)
    return np.ascontiguousarray(np.moveaxis(_colours(scale, 256)[np.rint(255 * position).astype(int)], -1, 0))


def legend(scale: dict[str, Any]) -> dict[str, Any]:
    """Return what the page draws the colour bar from."""
    return {**scale, "colours": [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in _colours(scale, STOPS)]}


def error_map(result: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    """Return |result - clear|, mean of the bands. Shapes: (C, H, W) -> (H, W). Units: [-1, 1] -> % of the range."""
    return 50 * (result - clear).abs().mean(0)


def reduced(image: torch.Tensor, longest: int) -> torch.Tensor:
    """Return the image with at most so many pixels on its longer side, by average. Shapes: (C, H, W)."""
    height, width = image.shape[-2:]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    return F.adaptive_avg_pool2d(image, (max(1, round(height * factor)), max(1, round(width * factor))))


def _colours(scale: dict[str, Any], count: int) -> np.ndarray:
    """Shapes: (count, 3) uint8."""
    from matplotlib import colormaps

    return (255 * colormaps[scale["map"]](np.linspace(0, 1, count))[:, :3]).round().astype(np.uint8)
