"""A network that finds clouds and their shadows, from a package that brings its weights along."""

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from declouds.cloud_detectors.named_bands import find_bands
from declouds.errors import UserError
from declouds.registry import CLOUD_DETECTORS

CLOUD, SHADOW = 1, 2  # the classes of its answer; 0 is the rest
BANDS = ("blue", "green", "red", "nir")
MORE_BANDS = (*BANDS, "swir16", "swir22")  # it has a better network for these


@CLOUD_DETECTORS.register_module()
class UkisCsmask:
    """Cloud and shadow by UKIS-CSMASK (Wieland et al. 2019, Remote Sensing of Environment 230; DLR, Apache 2.0).

    It was trained on reflectances of Landsat and Sentinel-2, and needs the bands blue, green, red and near infrared.
    The package `ukis-csmask` comes with ``pip install "declouds[csmask]"``, its weights with it: nothing is downloaded
    later. It works on tiles of 256 pixels, so its answer depends on the blocks of a scene a little, and these have
    fixed places.

    Measured on five chips of On-Cloud-N (Sentinel-2, 10 m), without shadows: it finds 75 % of the cloud, and more than
    99 % of what it finds is cloud.

    Args:
        band_names: names of the image's bands; with both bands of short-wave infrared it uses a network for six.
        level: of the reflectances: ``l2a`` at the ground, ``l1c`` at the top of the atmosphere.
        low: reflectance that -1 stands for.
        high: reflectance that 1 stands for.
        shadow: count shadow as cloud.

    Shapes: image (C, h, w) -> (h, w) bool.
    Units: [-1, 1].

    Raises:
        UserError: the package is not installed, a band is not named, or the level is unknown.
    """

    margin = 128  # half a tile

    def __init__(
        self,
        band_names: Sequence[str] = (),
        *,
        level: str = "l2a",
        low: float = 0.0,
        high: float = 1.0,
        shadow: bool = True,
    ) -> None:
        if level not in ("l1c", "l2a"):
            raise UserError(f"UkisCsmask: level = {level!r}: choose one of l1c, l2a")
        self.level, self.low, self.high = level, low, high
        self.classes = [CLOUD, *[SHADOW] * shadow]
        more = find_bands(band_names, MORE_BANDS)
        bands = more or find_bands(band_names, BANDS)
        if bands is None:
            raise UserError(
                "UkisCsmask needs bands called blue, green, red and nir "
                f"({', '.join(band_names) or 'they have no names'}): use a model that names these, the detector "
                "BrightWhite, or a cloud mask from a file"
            )
        self.bands, self.names = bands, list(MORE_BANDS if more else BANDS)
        self.package = _package()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return cloud and shadow."""
        reflectance = self.low + (image[self.bands] + 1) / 2 * (self.high - self.low)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of images below the size of a tile
            found = self.package.CSmask(
                *(np.moveaxis(reflectance, 0, -1).astype(np.float32), self.names, self.level),
                intra_op_num_threads=torch.get_num_threads(),
            )
        return np.isin(found.csm[..., 0], self.classes)


def _package() -> Any:
    """Import the package late: it is an extra."""
    try:
        return importlib.import_module("ukis_csmask.mask")
    except ImportError as error:
        raise UserError(
            f"UkisCsmask cannot be imported ({' '.join(str(error).split())}): install it with "
            'pip install "declouds[csmask]", or use the detector BrightWhite or a cloud mask from a file'
        ) from error
