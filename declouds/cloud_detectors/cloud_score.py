"""A score from the brightness of six Sentinel-2 bands."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import grey_closing, uniform_filter

from declouds.errors import UserError
from declouds.registry import CLOUD_DETECTORS

BANDS = ("B01", "B02", "B03", "B04", "B10", "B11")


@CLOUD_DETECTORS.register_module()
class CloudScore:
    """Cloud by the score for Sentinel-2 of Schmitt et al. 2019, with the threshold of Meraner et al. 2020.

    Schmitt et al., ISPRS Annals IV-2/W7, 145-152; Meraner et al., ISPRS Journal 166, 333-346 (DSen2-CR). A pixel scores
    the lowest of how bright it is in blue, in aerosol, in aerosol and cirrus together, and in the visible bands, and of
    how little it looks like snow (NDSI); scores are closed over 5x5 pixels and averaged over 7x7. It knows no shadows.

    Args:
        band_names: names of the image's bands; B01, B02, B03, B04, B10 and B11 are needed.
        threshold: score from which on a pixel is cloud.

    Shapes: image (C, h, w) -> (h, w) bool.
    Units: [-1, 1], for reflectances of 0 and 1 at the top of the atmosphere.

    Raises:
        UserError: a band is missing.
    """

    margin = 7  # twice the reach of 5x5 pixels, and once that of 7x7

    def __init__(self, band_names: Sequence[str] = (), *, threshold: float = 0.2) -> None:
        names = [name.upper() for name in band_names]
        if missing := [band for band in BANDS if band not in names]:
            raise UserError(
                f"CloudScore needs the bands {', '.join(BANDS)}, and {', '.join(missing)} are missing: use an image "
                "that has them, or another cloud detector, such as BrightWhite"
            )
        self.bands, self.threshold = [names.index(band) for band in BANDS], threshold

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the cloud."""
        aerosol, blue, green, red, cirrus, swir = (image[self.bands].astype(np.float64) + 1) / 2
        total = green + swir
        ndsi = np.divide(green - swir, total, out=np.zeros_like(total), where=total > 0)
        scores = (
            (blue - 0.1) / 0.4,
            (aerosol - 0.1) / 0.2,
            (aerosol + cirrus - 0.15) / 0.05,
            (red + green + blue - 0.2) / 0.6,
            (0.8 - ndsi) / 0.2,
        )
        score = grey_closing(np.minimum.reduce([*scores, np.ones_like(ndsi)]), size=5, mode="nearest")
        return uniform_filter(score, 7, mode="nearest") >= self.threshold
