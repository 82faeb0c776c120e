"""Draw a sample: cloudy, prediction, clear and mask side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = ("cloudy", "prediction", "clear", "mask")


def plot_sample(sample: dict[str, Any], show_titles: bool = True, suptitle: str | None = None) -> "Figure":
    """Draw what the sample holds of cloudy, prediction, clear and mask; the first 3 bands as red, green, blue.

    Units: images in [-1, 1], mask in [0, 1].
    """
    from matplotlib.figure import Figure  # not pyplot: no window system, and no figure kept open in a long training

    shown = [key for key in IMAGES if key in sample]
    figure = Figure(figsize=(4 * len(shown), 4), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, key in zip(axes, shown, strict=True):
        if key == "mask":
            axis.imshow(sample[key][0].detach().cpu().numpy(), cmap="gray", vmin=0, vmax=1)
        else:
            axis.imshow(_as_rgb(sample[key]))
        axis.axis("off")
        if show_titles:
            axis.set_title(key)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure


def _as_rgb(image: Tensor) -> np.ndarray:
    """Return (H, W, 3) in [0, 1]: the first three bands, or the first one as grey."""
    values = (image.detach().float().cpu().numpy().clip(-1, 1) + 1) / 2
    rgb = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    return np.moveaxis(rgb, 0, -1)
