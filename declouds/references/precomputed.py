"""Precomputed priors, read from a folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.registry import REFERENCES
from declouds.value_range import ValueRange

SUFFIXES = (".png", ".tif", ".tiff")


@REFERENCES.register_module()
class Precomputed(nn.Module):
    """Prior images ``<folder>/<sample name>.png`` (or .tif, .tiff): the output of any external method as reference.

    Priors are looked up by sample name, so they work for data sets, not for scenes, whose tiles have no names. Train
    with whole images and without augmentation: a crop raises an error, but a flip or rotation keeps the size and
    silently pairs the image with the wrong prior.

    Args:
        folder: folder of the prior images.
        value_range: stored values that map to -1 and 1; 0..255 for uint8, required for other data types.
        bands: bands of the prior images; those of the cloudy image if not given.

    Shapes: cloudy (B, in_bands, H, W), names: B strings -> (B, bands, H, W).
    Units: [-1, 1].

    Raises:
        UserError: the folder or a prior image is missing; or an image is corrupt, differs from the cloudy image in
            bands or size, has a data type without a value range, or contains non-finite values.
    """

    needs_names: ClassVar[bool] = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        value_range: tuple[float, float] | None = None,
        bands: int | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.bands = Path(folder), bands
        self.value_range = None if value_range is None else ValueRange(*value_range)
        if not self.folder.is_dir():
            raise UserError(f"{folder}: no such folder: give the folder with the priors, <sample name>.png or .tif")

    def find(self, name: str) -> Path:
        """Return the path of the prior of sample ``name``.

        Raises:
            UserError: there is none, or more than one.
        """
        paths = [path for suffix in SUFFIXES if (path := self.folder / f"{name}{suffix}").is_file()]
        if len(paths) == 1:
            return paths[0]
        if paths:
            raise UserError(f"{paths[0]}: this sample has a second prior, {paths[1].name}: remove one")
        raise UserError(f"{self.folder / name}.png (or .tif): no prior for this sample: add it, or drop the sample")

    def forward(self, cloudy: torch.Tensor, names: Sequence[str] | None = None) -> torch.Tensor:
        """Return the priors of samples ``names``."""
        if names is None or len(names) != len(cloudy):
            count = "none" if names is None else len(names)
            raise UserError(
                f"{self.folder}: priors are looked up by sample name, one per image ({len(cloudy)}), got {count}: "
                "they work for data sets only; for scenes, use a reference network"
            )
        shape = (self.bands or cloudy.shape[1], *cloudy.shape[2:])
        priors = [self._read(self.find(name), shape) for name in names]
        return torch.from_numpy(np.stack(priors)).to(cloudy)

    def _read(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """Read one prior as float32 (C, H, W) in [-1, 1]."""
        values = read_image(path)
        if values.shape != shape:
            raise UserError(
                f"{path}: the prior has {_size(values.shape)}, its cloudy image {_size(shape)}: "
                "use whole images, without crop or resize"
            )
        if not np.isfinite(values).all():
            raise UserError(f"{path}: contains non-finite values: fill them first")
        if self.value_range is None and values.dtype != np.uint8:
            raise UserError(f"{path}: unknown value range of {values.dtype}: set value_range=(low, high)")
        return (self.value_range or ValueRange.of_dtype(values.dtype)).to_model(values)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} bands of {shape[1]}x{shape[2]} pixels"
