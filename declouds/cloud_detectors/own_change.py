"""What the model that clears a scene changes, as a cloud mask."""

from typing import Any

import numpy as np
import torch
from scipy import ndimage

from declouds.registry import CLOUD_DETECTORS


@CLOUD_DETECTORS.register_module()
class OwnChange:
    """Cloud is where the model's own one-pass estimate differs from the image: cloud, haze and shadow alike.

    The estimate is that of the model's prior if it has one, else the model's own. Its difference from the image,
    averaged over the bands and over ``smooth`` pixels, counts where it is above ``least``. So a model that leaves clear
    ground nearly as it is leaves it bit for bit as it is, and haze is found, which no threshold on brightness sees.

    Args:
        model: the model that clears the scene, a `CloudRemover`.
        least: smallest mean difference that counts; 0.03 is 4 of 255.
        smooth: standard deviation, in pixels, of the Gaussian that averages the difference.

    Shapes: image (C, h, w) -> (h, w) bool.
    Units: [-1, 1], ``least`` too.
    """

    margin = 32  # pixels around a block that it is shown besides
    as_model = True  # in the model's range of values, not as reflectance
    block = 256  # pixels a side: the sizes that models are trained on

    def __init__(self, model: Any, *, least: float = 0.03, smooth: float = 2.0) -> None:
        variant = "prior" if "prior" in model.variants else None
        self.predict = model.passes(variant=variant, blend="final")[0].compute
        self.device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self.least, self.smooth = least, smooth

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the cloud."""
        cloudy = torch.from_numpy(image)[None].to(self.device)
        clear = self.predict(cloudy, torch.zeros_like(cloudy))[0].float().cpu().numpy()
        change = np.abs(clear - image[: len(clear)]).mean(axis=0)
        return ndimage.gaussian_filter(change, self.smooth) > self.least
