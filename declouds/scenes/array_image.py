"""An image in memory of any kind, as NumPy has it, and the clouds in a mask in memory."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from declouds.errors import UserError
from declouds.nodata import valid_pixels
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.mask_classes import MaskClasses
from declouds.scenes.sampling.tiles import Window
from declouds.scenes.xarray_image import from_xarray, is_xarray, names_of, tags_of
from declouds.value_range import ValueRange

NO_TAGS = ((1.0, 0.0),)  # scale and offset


@dataclass(frozen=True)
class ArrayImage:
    """An image in memory, and what is known of it.

    Args:
        name: for messages.
        values: as stored, (C, H, W): a NumPy array, or what is indexed as one; what a masked array masks has no data.
        nodata: its own value for "no data".
        tags: its own scale and offset of each band.
        band_names: of its bands, empty if they have none.
        day: when it was taken, if that is known.
        mask: its cloud mask, (H, W), if it has one.
    """

    name: str
    values: Any
    nodata: float | None = None
    tags: Sequence[tuple[float, float]] = NO_TAGS
    band_names: Sequence[str] = ()
    day: datetime.date | None = None
    mask: np.ndarray | None = None

    def read(self, window: Window, nodata: float | None, stored: ValueRange | None) -> tuple[np.ndarray, np.ndarray]:
        """Return values as stored, and which pixels have data. Shapes: (C, h, w), (h, w) bool."""
        part = self.values[..., *window.slices]
        known = ~np.ma.getmaskarray(part) if np.ma.isMaskedArray(part) else None
        return np.ma.getdata(part), valid_pixels(np.ma.getdata(part), nodata, known, stored)


def kind_of(image: Any) -> str | None:
    """Return what an image in memory is called; None if it is something else."""
    if is_xarray(image):
        return "DataArray"
    return "NumPy array" if isinstance(image, np.ndarray) else "tensor" if isinstance(image, torch.Tensor) else None


def array_image(
    image: Any, name: str, day: datetime.date | None = None, mask: np.ndarray | None = None, lazy: bool = False
) -> ArrayImage:
    """Return an image in memory, of any kind, with its attributes; ``lazy`` leaves its chunks of dask as they are.

    Raises:
        UserError: NumPy has no such type as a tensor's; see also `from_xarray`.
    """
    if is_xarray(image):
        values, nodata = from_xarray(image, lazy)
        return ArrayImage(name, values, nodata, tags_of(image), names_of(image), day, mask)
    return ArrayImage(name, as_array(image, name), day=day, mask=mask)


def as_array(values: Any, name: str) -> Any:
    """Return a tensor as an array; anything else unchanged.

    Raises:
        UserError: NumPy has no such type.
    """
    if not isinstance(values, torch.Tensor):
        return values
    try:
        return values.numpy(force=True)
    except TypeError as error:
        raise UserError(f"{name}: NumPy has no {values.dtype}: give it as .float()") from error


def clouds_of(mask: np.ndarray, options: SceneOptions, size: tuple[int, int], name: str = "mask") -> MaskClasses:
    """Return the cloud in a mask in memory.

    Raises:
        UserError: it has another size than the image, or does not go with the options, see `MaskRule`.
    """
    if options.rule.bands:
        raise UserError(f"mask_kind = {options.mask_kind!r}: applies to files only: give an array that is 1 in cloud")
    if mask.shape != size:
        raise UserError(f"{name}: has shape {mask.shape}, the image {size}: give one of the image's size")
    classes, known = np.ma.getdata(mask), ~np.ma.getmaskarray(mask)
    known |= np.isin(classes, options.rule.values)  # as in files, where a class may be the nodata value too
    return MaskClasses(
        *(name, lambda window: (classes[window.slices], known[window.slices]), *size, classes.dtype), rule=options.rule
    )
