"""Priors that another program has made, read from a folder."""

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
    """Prior pictures ``<folder>/<sample name>.png`` (or .tif, .tiff): any outside method can serve as reference.

    It knows the samples of a data set by name. So it cannot serve scenes: their tiles have no names. In training it
    needs the whole image: a crop is refused for its size, but a flip or rotation keeps the size, so it goes unnoticed
    and pairs the image with the wrong prior. Switch augmentation off.

    Args:
        folder: where the pictures are.
        value_range: the stored values that stand for -1 and 1; 0..255 for uint8, every other type has to be told.
        bands: bands of the pictures; those of the cloudy image if not given.

    Shapes: cloudy (B, in_bands, H, W), names: B strings -> (B, bands, H, W).
    Units: [-1, 1].

    Raises:
        UserError: the folder or a picture is missing; or a picture is broken, has other bands or another size than the
            cloudy image, is of a type whose value range is not given, or holds values that are no numbers.
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
            raise UserError(f"{folder}: no such folder of priors: give the folder that holds <sample name>.png or .tif")

    def find(self, name: str) -> Path:
        """Return the picture of the sample called ``name``.

        Raises:
            UserError: there is none, or more than one.
        """
        found = [path for suffix in SUFFIXES if (path := self.folder / f"{name}{suffix}").is_file()]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"{found[0]}: the same sample has a second prior, {found[1].name}: remove one")
        raise UserError(f"{self.folder / name}.png: no prior for this sample (nor .tif): make it, or drop the sample")

    def forward(self, cloudy: torch.Tensor, names: Sequence[str] | None = None) -> torch.Tensor:
        """Return the priors of the samples called ``names``."""
        if names is None or len(names) != len(cloudy):
            given = "none" if names is None else len(names)
            raise UserError(
                f"{self.folder}: priors are found by sample name, one for each of {len(cloudy)} images; got {given}: "
                "they serve the images of a data set, not scenes: give a reference network for those"
            )
        shape = (self.bands or cloudy.shape[1], *cloudy.shape[2:])
        priors = [self._read(self.find(name), shape) for name in names]
        return torch.from_numpy(np.stack(priors)).to(cloudy)

    def _read(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """Read one picture as float32 (C, H, W) in [-1, 1]."""
        values = read_image(path)
        if values.shape != shape:
            raise UserError(
                f"{path}: the prior is {_size(values.shape)}, its cloudy image {_size(shape)}: "
                "they have to agree; give whole images, without crop or resize"
            )
        if not np.isfinite(values).all():
            raise UserError(f"{path}: holds non-finite values (NaN or infinity): fill them first")
        if self.value_range is None and values.dtype != np.uint8:
            raise UserError(f"{path}: {values.dtype} values have no known range: give value_range=(low, high)")
        return (self.value_range or ValueRange.of_dtype(values.dtype)).to_model(values)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} bands of {shape[1]}x{shape[2]} pixels"
