"""Base class of all data sets of pairs: samples in [-1, 1], caches of decoded images, and plots."""

import abc
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_world_size
from torch import Tensor
from torch.utils.data import get_worker_info
from torchgeo.datasets import NonGeoDataset

from declouds.datamodules.decoded_files import read_decoded, write_decoded
from declouds.datamodules.pairs import PARTS
from declouds.download import cache_folder
from declouds.errors import UserError
from declouds.sources import Source, channels_of
from declouds.units import Units
from declouds.value_range import ValueRange

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CACHE_LIMIT = 2 * 1024**3  # bytes of decoded images kept in memory per data set

logger = logging.getLogger("declouds")


NO_FOLDERS = ("true", "false", "yes", "no", "on", "off", "none")  # what a config may hold by mistake


class Arrays(NamedTuple):
    """A pair in sensor units: images (C, H, W); if known, masks of cloud and valid pixels, optical depth: (1, H, W).

    ``sources``, channels of the input that follow the image, are in [-1, 1]: each has its own sensor units.
    """

    cloudy: np.ndarray
    clear: np.ndarray
    mask: np.ndarray | None = None
    valid: np.ndarray | None = None
    thickness: np.ndarray | None = None
    sources: np.ndarray | None = None


class PairDataset(NonGeoDataset, abc.ABC):
    """Cloudy/clear pairs as dicts ``cloudy, clear, name[, mask][, valid][, thickness]``.

    ``cloudy`` is the image and, after it, the channels of the further ``sources``.
    Nodata pixels have the values of the nearest valid one, and are False in ``valid``; a data set has ``valid`` in all
    samples or in none. ``value_range`` are the model values that map to -1 and 1, and ``stored_range`` the
    corresponding stored values, if the files are scaled.

    ``names`` and ``sizes`` (height, width) are known before any pixel is read. With ``cache`` decoded images are kept,
    in sensor units: in memory if they all fit in `CACHE_LIMIT`; if they do not, and in workers and distributed runs, as
    memory-mapped files in ``decoded`` of `cache_folder`, for later runs too. A folder as ``cache`` keeps them as files
    there in any case. Only data sets with a `decoded_key` keep files.

    A data set that also has ``draw(index, seed)`` is trained on what that returns, another pair for each seed.

    Shapes: cloudy (in_bands, H, W), clear (bands, H, W), mask (1, H, W), 1 = cloud, valid (1, H, W) bool, thickness
        (1, H, W).
    Units: [-1, 1]; thickness is the optical depth of clouds at 0.55 micrometres.
    """

    units = Units()  # of the stored values
    sources: tuple[Source, ...] = ()  # further ones, beside the image
    rgb: tuple[int, int, int] = (0, 1, 2)  # bands that `plot` shows as red, green, blue

    def __init__(
        self,
        names: Sequence[str],
        bands: int,
        value_range: ValueRange,
        sizes: Sequence[tuple[int, int]],
        size_in_memory: int,
        cache: bool | str | Path = True,
        stored_range: ValueRange | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.sizes = tuple(sizes)
        self.bands = bands
        self.value_range = value_range
        self.stored_range = stored_range or value_range
        cache = check_cache(cache)
        self.size_in_memory = size_in_memory
        self.keeps_files = cache is not False
        self._folder = cache_folder() / "decoded" if isinstance(cache, bool) else Path(cache).expanduser()
        self._full = False  # whether writing to the folder has failed
        self._keep = cache is True and size_in_memory <= CACHE_LIMIT
        self._kept: dict[int, Arrays] = {}

    @abc.abstractmethod
    def load(self, index: int) -> Arrays:
        """Return one pair in sensor units, as stored."""

    def decoded_key(self, index: int) -> str | None:
        """Return a file name that identifies the pixels of `load`; None if they are not kept as a file."""
        return None

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
        return self.as_sample(self._arrays(index), self.names[index])

    def as_sample(self, arrays: Arrays, name: str) -> dict[str, Any]:
        """Return a pair in sensor units as a sample in [-1, 1]."""
        sample: dict[str, Any] = {
            "cloudy": self._tensor(arrays.cloudy),
            "clear": self._tensor(arrays.clear),
            "name": name,
        }
        if arrays.sources is not None:
            sample["cloudy"] = torch.cat([sample["cloudy"], torch.from_numpy(np.array(arrays.sources))])
        if arrays.mask is not None:
            sample["mask"] = torch.from_numpy(arrays.mask.astype(np.float32))
        if arrays.valid is not None:
            sample["valid"] = torch.from_numpy(arrays.valid.copy())
        if arrays.thickness is not None:
            sample["thickness"] = torch.from_numpy(arrays.thickness.copy())
        return sample

    def _arrays(self, index: int) -> Arrays:
        """Return one pair, decoded at most once."""
        if index in self._kept:
            return self._kept[index]
        path = self._file_of(index)
        found = None if path is None else read_decoded(path)
        arrays = Arrays(**found) if found else Arrays(*self.load(index))
        if path is not None and not found and not self._full:
            self._write(path, arrays)
        if self._keep and (path is None or self._full):
            self._kept[index] = arrays
        return arrays

    def _file_of(self, index: int) -> Path | None:
        """Return where one pair is kept as a file; None if it is not."""
        shared = not self._keep or get_worker_info() is not None or get_world_size() > 1
        key = self.decoded_key(index) if self.keeps_files and shared else None
        return None if key is None else self._folder / f"{key}.npy"

    def _write(self, path: Path, arrays: Arrays) -> None:
        """Keep one pair as a file; if that fails, say so once and write no more."""
        try:
            present = {name: array for name, array in arrays._asdict().items() if array is not None}
            write_decoded(path, present)
        except OSError as error:
            self._full = True
            logger.warning(
                "decoded images cannot be kept in %s (%s; all of them need %.1f GB): images are decoded again and "
                "again: free disk space, or give a folder on another disk as `cache` of the data module",
                self._folder,
                error.strerror or error,
                self.size_in_memory / 1e9,
            )

    def plot(self, sample: dict[str, Any], show_titles: bool = True, suptitle: str | None = None) -> "Figure":
        """Plot cloudy, its further sources, prediction (if any), clear and mask side by side."""
        return plot_sample(sample, show_titles=show_titles, suptitle=suptitle, rgb=self.rgb, sources=self.sources)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # workers fill their own cache; gigabytes are not pickled

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(self.stored_range.to_model(values))


def check_cache(cache: Any) -> bool | str | Path:
    """Return the argument ``cache`` of data sets.

    Raises:
        UserError: neither a bool nor a folder.
    """
    is_word = isinstance(cache, str) and cache.lower() in NO_FOLDERS
    if is_word or not isinstance(cache, bool | np.bool_ | str | Path):
        raise UserError(f"cache = {cache!r}: give True or False, or a folder")
    return bool(cache) if isinstance(cache, np.bool_) else cache


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


def plot_sample(
    sample: dict[str, Any],
    show_titles: bool = True,
    suptitle: str | None = None,
    rgb: Sequence[int] = (0, 1, 2),
    sources: Sequence[Source] = (),
) -> "Figure":
    """Plot the sample's cloudy, its further sources, prediction, clear and mask, as far as present.

    The bands ``rgb`` are red, green and blue, of optical sources too; of other sources the first band is shown as grey.

    Units: images in [-1, 1], mask in [0, 1].
    """
    from matplotlib.figure import Figure  # not pyplot, which needs a display and keeps figures open

    panels = {key: sample[key] for key in IMAGES if key in sample}
    if sources:
        first = len(sample["cloudy"]) - sum(source.channels for source in sources)
        beside = {name: sample["cloudy"][first:][place] for name, place in channels_of(sources).items()}
        grey = {source.name: beside[source.name][:1] for source in sources if source.kind != "optical"}
        panels = {"cloudy": panels["cloudy"], **beside, **grey, **panels}
    figure = Figure(figsize=(4 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        if title == "mask":
            axis.imshow(panel[0].detach().cpu().numpy(), cmap="gray", vmin=0, vmax=1)
        else:
            axis.imshow(_as_rgb(panel, rgb))
        axis.axis("off")
        if show_titles:
            axis.set_title(title)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure


def _as_rgb(image: Tensor, rgb: Sequence[int]) -> np.ndarray:
    """Return (H, W, 3) in [0, 1]: the bands ``rgb``, or the first one as grey where there are fewer."""
    values = (image.detach().float().cpu().numpy().clip(-1, 1) + 1) / 2
    chosen = values[list(rgb)] if len(values) > max(rgb) else np.repeat(values[:1], 3, axis=0)
    return np.moveaxis(chosen, 0, -1)
