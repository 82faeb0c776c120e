"""A network that finds clouds and their shadows, from a package of its own."""

import importlib
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from declouds.cloud_detectors.named_bands import find_bands
from declouds.errors import UserError
from declouds.registry import CLOUD_DETECTORS

THICK, THIN, SHADOW = 1, 2, 3  # the classes of its answer; 0 is clear
LEAST = 32  # pixels along each side that it needs
TRIAL = 64  # of the first image; it warns of smaller ones
PATCH, OVERLAP = 1000, 300  # its own defaults
ABOVE_NODATA = 2.0  # added to [-1, 1]: to the package, 0 means no data


@CLOUD_DETECTORS.register_module()
class OmniCloudMask:
    """Thick cloud, thin cloud and shadow by OmniCloudMask (Wright et al. 2025, Remote Sensing of Environment 322).

    It was made for pixels of 10 to 50 m, and needs the bands red, green and near infrared. The package `omnicloudmask`
    comes with ``pip install "declouds[detect]"`` and downloads its weights when they are first used, which is when the
    detector is built. It normalises by the mean and spread of what it is shown: those of a block count for every pixel
    in it, so its answer depends on the blocks a little, and blocks have fixed places in a scene.

    Args:
        band_names: names of the image's bands.
        thin: count thin cloud as cloud.
        shadow: count shadow as cloud.
        weights: folder that holds its weights, for machines without network; by default that of the package.
        device: where it runs, such as ``cuda:1``; by default the first accelerator.

    Shapes: image (C, h, w) -> (h, w) bool.
    Units: [-1, 1].

    Raises:
        UserError: the package is not installed, its weights cannot be loaded, or a band is not named.
    """

    margin = OVERLAP // 2  # pixels of its surroundings that a pixel's answer depends on

    def __init__(
        self,
        band_names: Sequence[str] = (),
        *,
        thin: bool = True,
        shadow: bool = True,
        weights: str | None = None,
        device: str | None = None,
    ) -> None:
        bands = find_bands(band_names, ("red", "green", "nir"))
        if bands is None:
            raise UserError(
                f"OmniCloudMask needs bands called red, green and nir ({', '.join(band_names) or 'they have no names'})"
                ": use a model that names these, the detector BrightWhite, or a cloud mask from a file"
            )
        self.bands = bands
        self.classes = [THICK, *[THIN] * thin, *[SHADOW] * shadow]
        self.package = _package()
        self.options = dict(destination_model_dir=weights, inference_device=device)
        try:  # on a tiny image, so that unavailable weights are reported now and not inside a scene
            self(np.zeros((len(band_names), TRIAL, TRIAL), np.float32))
        except Exception as error:
            raise UserError(
                f"OmniCloudMask cannot run ({type(error).__name__}: {' '.join(str(error).split())}): it downloads its "
                "weights at first use; without network, give the folder that holds them (weights=)"
            ) from error

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return cloud and shadow."""
        height, width = image.shape[1:]
        below, beside = max(LEAST - height, 0), max(LEAST - width, 0)
        shown = np.pad(image[self.bands] + ABOVE_NODATA, ((0, 0), (0, below), (0, beside)), mode="edge")
        patch = min(PATCH, *shown.shape[1:])
        classes = self.package.predict_from_array(
            shown, patch_size=patch, patch_overlap=min(OVERLAP, patch // 2), **self.options
        )
        return np.isin(classes[0, :height, :width], self.classes)


def _package() -> ModuleType:
    """Import the package late: it is an extra, and slow to import."""
    try:
        return importlib.import_module("omnicloudmask")
    except ImportError as error:
        raise UserError(
            f'OmniCloudMask cannot be imported ({error}): install it with pip install "declouds[detect]", '
            "or use the detector BrightWhite or a cloud mask from a file"
        ) from error
