"""What the page shows of a result: the scene before and after, its clouds, and the maps of quality."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

from declouds.scenes.preview import GAP, LONGEST
from declouds.scenes.write_mask import CLOUD

TINT = (255, 0, 128)  # of clouds: no ground has this colour


def halves(preview: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the scene before and after, which the picture of `write_preview` shows side by side.

    Shapes: (4, h, w) uint8 each, the last is opacity.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(preview) as file:
            picture = file.read()
    width = (picture.shape[2] - GAP) // 2
    return picture[:, :, :width], picture[:, :, -width:]


def clouds_on(before: np.ndarray, mask: Path) -> np.ndarray:
    """Return the scene with the clouds of a mask, see `write_mask`, in one colour.

    Shapes: (4, h, w) uint8 both.
    """
    with rasterio.open(mask) as file:
        cloud = file.read(1, out_shape=before.shape[1:], resampling=Resampling.nearest) == CLOUD
    shown = before.copy()
    tinted = (before[:3] // 2 + np.array(TINT, np.uint8)[:, None, None] // 2)[:, cloud]
    shown[:3, cloud] = tinted
    return shown


def maps_of(quality: Path) -> list[tuple[np.ndarray, str]]:
    """Return each band of a map of quality in colours, from 0, dark, to its largest value, bright, and its caption.

    Shapes: (4, h, w) uint8 each, the last is opacity.
    """
    from matplotlib import colormaps

    maps = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(quality) as file:
            shrunk = min(1, LONGEST / max(file.shape))
            size = tuple(max(1, round(side * shrunk)) for side in file.shape)
            for band, name in enumerate(file.descriptions, start=1):
                values = file.read(band, out_shape=size, resampling=Resampling.average)
                highest = float(np.nanmax(values, initial=0))
                colours = colormaps["viridis"](values / (highest or 1), bytes=True)
                colours[..., 3] = 255 * np.isfinite(values)
                maps.append((colours.transpose(2, 0, 1), f"{name}: 0 to {highest:.3g}"))
    return maps


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write a picture that the page shows. Shapes: (4, h, w) uint8."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).save(path)
    return path
