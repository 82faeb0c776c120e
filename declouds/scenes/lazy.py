"""An image of dask chunks, cleared chunk by chunk when its pixels are asked for, to those of the whole image at once.

Clouds are found in chunks of their own, which the chunks of the result share. A chunk of the result is computed from
all windows of the image that reach into it, so that it does not depend on how the image is cut into chunks.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from threading import Lock
from typing import Any

import numpy as np
import torch

from declouds.errors import UserError
from declouds.nodata import merge
from declouds.scenes.api import loaded, remover_of
from declouds.scenes.array import check_array, range_of
from declouds.scenes.array_image import ArrayImage, clouds_of
from declouds.scenes.clear import Remover
from declouds.scenes.cleared_image import has_work
from declouds.scenes.options import SceneOptions
from declouds.scenes.radar import Radar, radar_in_memory
from declouds.scenes.sampling.cloud_mask import BLOCK, CloudMask, block_side, detect_clouds, range_seen
from declouds.scenes.sampling.image import Image, Read, sample_windows
from declouds.scenes.sampling.loop import PassLoop
from declouds.scenes.sampling.passes import clear_name
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.scene_range import SceneRange, places
from declouds.scenes.sampling.store import MemoryJob, MemoryRaster, Raster
from declouds.scenes.sampling.tiles import Window, around_of, common_of, inside_of, touches, windows

ONE_AT_A_TIME = Lock()  # a network uses all cores by itself


def clear_lazily(image: ArrayImage, model: Any, options: SceneOptions, device: str | torch.device | None = None) -> Any:
    """Return the image without its clouds as a dask array, of which nothing is computed yet.

    Args:
        image: the cloudy image, whose values are a dask array.
        model: see `declouds.scenes.api.remove_clouds`; it is read from its file now, and sent to other processes.
        options: the user's choices.
        device: see `declouds.scenes.api.remove_clouds`.

    Shapes: (in_bands, H, W) -> (bands, H, W), in chunks of all bands.

    Raises:
        UserError: see `declouds.scenes.array.clear_array`; what is wrong with pixels is found when they are computed.
    """
    import dask.array as da

    values, size = image.values, image.values.shape[-2:]
    given, (model, _) = model, loaded(model)
    device = device if model is given else device or "auto"
    with remover_of(model, options, device) as remover:
        options = options.with_mask(remover.value_range is None)
        check_array(values, options, remover)
        radar_in_memory(None, remover.radar)
        known = replace(options, mask="none") if isinstance(options.mask, np.ndarray) else options
        work = _Work(replace(image, values=None), size, model, known, device)
        looked_at = places(*size) if remover.value_range is None else sample_windows(*size)
        found = _task(work.look, looked_at, [values[..., *window.slices] for window in looked_at])
        clouds = _clouds(work, values, found, options, remover)
        lines: list[list[Any]] = []
        for line in _chunks(*values.chunks[-2:]):
            lines.append([])
            for window in line:
                computed, seen = work.reach(window, len(remover.passes))
                parts = (values[..., *seen.slices], None if clouds is None else clouds[seen.slices])
                chunk = _task(work.clear, *parts, seen, computed, window, found)
                shape = (remover.bands, window.height, window.width)
                lines[-1].append(da.from_delayed(chunk, shape, values.dtype))
    return da.block(lines)


def _clouds(work: "_Work", values: Any, found: Any, options: SceneOptions, remover: Remover) -> Any:
    """Return the clouds as a dask array (H, W) bool; None if all is to be cleared."""
    import dask.array as da

    if options.clears_all:
        return None
    if isinstance(options.mask, np.ndarray):
        mask = clouds_of(options.mask, options, work.size)
        mask.warn("the array")
        return da.from_array(mask(Window(0, 0, *work.size)))
    if not options.detects:
        raise UserError(f"mask = {str(options.mask)!r}: the mask of an array is an array, or 'auto'")
    detector: Any = remover.detector
    block, margin = block_side(detector), detector.margin
    side = block * max(BLOCK // block, 1)
    lines: list[list[Any]] = []
    for line in _chunks(*(_cut(length, side) for length in work.size)):
        lines.append([])
        for window in line:
            seen = around_of(window, margin, *work.size)
            chunk = _task(work.detect, values[..., *seen.slices], seen, window, found)
            lines[-1].append(da.from_delayed(chunk, (window.height, window.width), bool))
    return da.block(lines)


@dataclass(frozen=True)
class _Work:
    """The work on chunks, in any process: what is known of the image besides its values, and how it is cleared."""

    image: ArrayImage
    size: tuple[int, int]
    model: Any
    options: SceneOptions
    device: str | torch.device | None

    def look(self, looked_at: Sequence[Window], values: Sequence[np.ndarray]) -> SceneRange:
        """Find the range of the image in some of its windows."""
        parts = dict(zip(looked_at, values, strict=True))
        with self._remover() as remover:
            return range_of(replace(self.image, values=_Parts(parts)), self.size, self.options, remover)

    def detect(self, values: np.ndarray, seen: Window, window: Window, found: SceneRange) -> np.ndarray:
        """Find the clouds of a window, of whose surroundings ``values`` are."""
        with self._remover() as remover:
            units = range_seen(remover.detector, found.stored, found.reflectance)
            cloud = np.zeros((window.height, window.width), bool)
            read = self._reader(values, seen, found)
            for block, part in detect_clouds(remover.detector, read, units, *self.size, window):
                cloud[inside_of(block, window)] = part
            return cloud

    def reach(self, window: Window, passes: int) -> tuple[Window, Window]:
        """Return what is computed for a window of the result by all passes but the last, and what is read for it."""
        computed, grid = window, windows(*self.size, self.options.tile, self.options.overlap)
        for _ in range(passes - 1):
            computed = _around([one for one in grid if touches(one, computed)])
        needed = _around([one for one in grid if touches(one, computed)])
        return computed, around_of(needed, self.options.dilate + self.options.feather, *self.size)

    def clear(
        self,
        values: np.ndarray,
        clouds: np.ndarray | None,
        seen: Window,
        computed: Window,
        window: Window,
        found: SceneRange,
    ) -> np.ndarray:
        """Clear a window, of whose surroundings ``values`` and ``clouds`` are."""
        read, options = self._reader(values, seen, found), self.options
        alpha = None
        if clouds is not None:
            cloud = functools.partial(_cut_out, clouds, seen)
            rim = (options.dilate, options.feather)
            alpha = CloudMask(cloud, *self.size, *rim, lambda part: read(part)[1]).alpha
        image = Image(*self.size, read, found.stored, self._nodata, alpha)
        with self._remover() as remover:
            image = image if remover.radar is None else Radar(remover.radar).beside(image)
            grid = windows(*self.size, options.tile, options.overlap)
            wanted = [one for one in grid if touches(one, computed) and has_work(image, one)]
            job = _PartJob(computed)
            loop = PassLoop(image, wanted, job, remover.bands, options.tiling, options.seed, remover.device)
            loop.run(remover.passes, [computed], Ranks())
            stored, valid = read(window)
            share = valid.astype(np.float32) if image.alpha is None else valid * image.alpha(window)
            cleared = job.raster(clear_name(0), remover.passes[-1].output_bands).read(window)
            return merge(stored[: remover.bands], cleared[: remover.bands], share, found.stored, self._nodata)

    def _reader(self, values: np.ndarray, seen: Window, found: SceneRange) -> Read:
        """Return what gives the pixels of any window of the image within ``seen``."""
        part = replace(self.image, values=_Parts({seen: values}))
        return functools.partial(part.read, nodata=self._nodata, stored=found.stored)

    @property
    def _nodata(self) -> float | None:
        return self.image.nodata if self.options.nodata is None else self.options.nodata

    @contextmanager
    def _remover(self) -> Iterator[Remover]:
        """Give what the image needs of the model, which computes one chunk at a time."""
        with ONE_AT_A_TIME, remover_of(self.model, self.options, self.device) as remover:
            yield remover


class _Parts:
    """Some windows of an image, indexed as the whole image is."""

    def __init__(self, parts: Mapping[Window, np.ndarray]) -> None:
        self.parts = parts

    def __getitem__(self, key: tuple[Any, slice, slice]) -> np.ndarray:
        rows, cols = key[-2:]
        wanted = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        for window, values in self.parts.items():
            if common_of(wanted, window) == wanted:
                return values[..., *inside_of(wanted, window)]
        raise UserError(
            "the array: too few of its pixels have data to find its range in some windows: say which values are dark "
            "and bright (value_range), or load it (image.load())"
        )


class _PartJob(MemoryJob):
    """Rasters of one part of an image; beyond it they are 0."""

    def __init__(self, area: Window) -> None:
        super().__init__(area.height, area.width)
        self.area = area

    def raster(self, name: str, channels: int) -> Raster:
        """Return the raster called ``name``, created on first use."""
        if name not in self.rasters:
            self.rasters[name] = _PartRaster(channels, self.area)
        return self.rasters[name]


class _PartRaster(MemoryRaster):
    """A part of a raster, indexed as the whole is."""

    def __init__(self, channels: int, area: Window) -> None:
        super().__init__(channels, area.height, area.width)
        self.area = area

    def read(self, window: Window) -> np.ndarray:
        """Return a copy of a window, 0 beyond the part."""
        result = np.zeros((len(self.values), window.height, window.width), np.float32)
        common = common_of(window, self.area)
        result[:, *inside_of(common, window)] = self.values[:, *inside_of(common, self.area)]
        return result

    def write(self, window: Window, values: np.ndarray) -> None:
        """Replace a window of the part."""
        self.values[:, *inside_of(window, self.area)] = values


def _task(function: Any, *arguments: Any) -> Any:
    """Return a call that dask makes when its result is needed."""
    import dask

    return dask.delayed(function, pure=False)(*arguments)


def _cut(length: int, side: int) -> list[int]:
    """Return the lengths of the pieces of an axis."""
    return [min(side, length - start) for start in range(0, length, side)]


def _chunks(heights: Sequence[int], widths: Sequence[int]) -> list[list[Window]]:
    """Return the windows of a grid of chunks, row by row."""
    rows, cols = (list(zip(accumulate(sizes, initial=0), sizes, strict=False)) for sizes in (heights, widths))
    return [[Window(row, col, height, width) for col, width in cols] for row, height in rows]


def _around(inside: Sequence[Window]) -> Window:
    """Return the rectangle around some windows."""
    top, left = min(one.row for one in inside), min(one.col for one in inside)
    bottom, right = max(one.row + one.height for one in inside), max(one.col + one.width for one in inside)
    return Window(top, left, bottom - top, right - left)


def _cut_out(values: np.ndarray, seen: Window, window: Window) -> np.ndarray:
    return values[inside_of(window, seen)]
