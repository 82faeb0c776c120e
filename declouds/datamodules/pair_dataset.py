"""Base class of all data sets of pairs: samples in [-1, 1], a cache of decoded images, and plots."""

import abc
import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchgeo.datasets import NonGeoDataset

from declouds.datamodules.pairs import PARTS
from declouds.errors import UserError
from declouds.units import Units
from declouds.value_range import ValueRange

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from typing import TYPE_CHECKING

CACHE_LIMIT = 2 * 1024**3  # bytes of decoded images cached per data set and process


class Arrays(NamedTuple):
    """One pair in sensor units: images (C, H, W), and the masks of cloud and of valid pixels (1, H, W), if any."""

    cloudy: np.ndarray
    clear: np.ndarray
    mask: np.ndarray | None = None
    valid: np.ndarray | None = None


class PairDataset(NonGeoDataset, abc.ABC):
    """Cloudy/clear pairs as dicts ``cloudy, clear, name[, mask][, valid]``.

    Nodata pixels have the values of the nearest valid one, and are False in ``valid``; a data set has ``valid`` in all
    samples or in none. ``value_range`` are the model values that map to -1 and 1, and ``stored_range`` the
    corresponding stored values, if the files are scaled.

    ``names`` and ``sizes`` (height, width) are known before any pixel is read. With ``cache`` decoded images stay in
    memory, in sensor units, if they all fit in `CACHE_LIMIT`.

    Shapes: cloudy and clear (C, H, W), mask (1, H, W), 1 = cloud, valid (1, H, W) bool.
    Units: [-1, 1].
    """

    units = Units()  # of the stored values

    def __init__(
        self,
        names: Sequence[str],
        bands: int,
        value_range: ValueRange,
        sizes: Sequence[tuple[int, int]],
        size_in_memory: int,
        cache: bool = True,
        stored_range: ValueRange | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.sizes = tuple(sizes)
        self.bands = bands
        self.value_range = value_range
        self.stored_range = stored_range or value_range
        self._keep = cache and size_in_memory <= CACHE_LIMIT
        self._kept: dict[int, Arrays] = {}
        if cache and not self._keep:
            logging.getLogger("declouds").info(
                "%s: %.1f GB of images exceed the cache: images are decoded on every read",
                type(self).__name__,
                size_in_memory / 1e9,
            )

    @abc.abstractmethod
    def load(self, index: int) -> Arrays:
        """Return one pair in sensor units, as stored."""

    def content(self) -> str:
        """Return a SHA-256 that identifies the data; of the names only, where pixels are generated."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one pair in [-1, 1].

        Raises:
            UserError: its pixels are unreadable or unusable.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        arrays = self._kept.get(index) or Arrays(*self.load(index))
        if self._keep:
            self._kept[index] = arrays
        cloudy, clear, mask, valid = arrays
        sample: dict[str, Any] = {
            "cloudy": self._tensor(cloudy),
            "clear": self._tensor(clear),
            "name": self.names[index],
        }
        if mask is not None:
            sample["mask"] = torch.from_numpy(mask.astype(np.float32))
        if valid is not None:
            sample["valid"] = torch.from_numpy(valid)
        return sample

    def plot(self, sample: dict[str, Any], show_titles: bool = True, suptitle: str | None = None) -> "Figure":
        """Plot cloudy, prediction (if any), clear and mask side by side."""
        return plot_sample(sample, show_titles=show_titles, suptitle=suptitle)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # workers fill their own cache; gigabytes are not pickled

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(self.stored_range.to_model(values))


def pairs_of(parts: dict[str, Any], part: str) -> Any:
    """Return one part of a split; only the validation part may be empty.

    Raises:
        UserError: unknown or empty part.
    """
    if part not in PARTS:
        raise UserError(f"unknown part {part!r}: known: {', '.join(PARTS)}")
    if not parts.get(part) and part != "val":
        raise UserError(f"the split has no {part} images: give a split that lists some")
    return parts.get(part, [])


IMAGES = ("cloudy", "prediction", "clear", "mask")


def plot_sample(sample: dict[str, Any], show_titles: bool = True, suptitle: str | None = None) -> "Figure":
    """Plot the sample's cloudy, prediction, clear and mask, as far as present; the first 3 bands as red, green, blue.

    Units: images in [-1, 1], mask in [0, 1].
    """
    from matplotlib.figure import Figure  # not pyplot, which needs a display and keeps figures open

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
