"""An image of dask chunks, cleared chunk by chunk when its pixels are asked for, to those of the whole image at once.

Clouds are found in chunks of their own, which the chunks of the result share. A chunk of the result is computed from
all windows of the image that reach into it, so that it does not depend on how the image is cut into chunks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from declouds.errors import UserError
from declouds.nodata import merge
from declouds.scenes.api import loaded, remover_of
from declouds.scenes.array import check_array, given_clouds, range_of
from declouds.scenes.array_image import ArrayImage
from declouds.scenes.chunks import Chunks, Parts, cut_out, grid, pieces
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
from declouds.scenes.sampling.store import PartJob
from declouds.scenes.sampling.tiles import Window, around_of, inside_of, touches, windows_in

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
    from dask.graph_manipulation import bind

    if options.compile:
        raise UserError(
            "compile = True: the networks would be compiled again for every chunk: leave it out, or load the image"
        )
    if np.isnan(image.values.shape).any():
        raise UserError(
            "the array: dask does not know the sizes of its chunks: find them first "
            "(image.copy(data=image.data.compute_chunk_sizes()))"
        )
    given, (model, _) = model, loaded(model)
    device = device if model is given else device or "auto"
    with remover_of(model, options, device) as remover:
        options = options.with_mask(remover.value_range is None)
        check_array(image.values, options, remover)
        radar_in_memory(None, remover.radar)
        size = image.values.shape[-2:]
        known = replace(options, mask="none") if isinstance(options.mask, np.ndarray) else options
        graph = _Graph(_Work(replace(image, values=None), size, model, known, device))
        looked_at = places(*size) if remover.value_range is None else sample_windows(*size)
        found = graph.look(Chunks.of(image.values), looked_at)
        # Chunks are read again to be cleared, once the range is found: else all of them would wait in memory.
        values = Chunks.of(bind(image.values, found))
        clouds = _clouds(graph, values, options, remover)
        return graph.clear(values, clouds, remover)


def _clouds(graph: "_Graph", values: Chunks, options: SceneOptions, remover: Remover) -> Chunks | None:
    """Return the clouds (H, W) bool; None if all is to be cleared."""
    import dask.array as da

    if options.clears_all:
        return None
    given = given_clouds(options, graph.work.size)
    if given is None:
        return graph.detect(values, remover.detector)
    return Chunks.of(da.from_array(given, values.array.chunks[-2:]))


class _Graph:
    """The tasks of an image as dask has them: each in one place, however many others need it.

    Args:
        work: what they do; it is a task too, which a cluster sends to each of its processes once.
    """

    def __init__(self, work: "_Work") -> None:
        self.work, self.name = work, f"declouds-{uuid4().hex}"
        self.held, self.found = f"{self.name}-work", f"{self.name}-range"
        self.tasks: dict[Any, Any] = {self.held: work}
        self.needs: list[Any] = []  # arrays whose chunks the tasks take

    def look(self, values: Chunks, looked_at: Sequence[Window]) -> Any:
        """Add the task that finds the range of the image in some of its windows, and return it."""
        from dask.delayed import Delayed
        from dask.highlevelgraph import HighLevelGraph

        self.needs.append(values.array)
        parts: list[str] = []
        for (window,), (key,) in (values.touching(window) for line in values.lines for window in line):
            if any(touches(window, one) for one in looked_at):
                parts.append(f"{self.name}-part-{len(parts)}")
                self.tasks[parts[-1]] = (partial(cut_out, window=window, wanted=looked_at), key)
        self.tasks[self.found] = (_Work.look, self.held, parts)
        return Delayed(self.found, HighLevelGraph.from_collections(self.found, self.tasks, self.needs))

    def detect(self, values: Chunks, detector: Any) -> Chunks:
        """Return the clouds (H, W) bool, in chunks of their own."""
        block, margin = block_side(detector), detector.margin
        side = block * max(BLOCK // block, 1)
        name, size = f"{self.name}-clouds", self.work.size
        sizes = [pieces(length, side) for length in size]
        tasks = {}
        for row, line in enumerate(grid(*sizes)):
            for col, window in enumerate(line):
                around, keys = values.touching(around_of(window, margin, *size))
                call = partial(_Work.detect, around=around, window=window)
                tasks[name, row, col] = (call, self.held, self.found, keys)
        return Chunks.of(self._array(name, tasks, [values.array], sizes, bool))

    def clear(self, values: Chunks, clouds: Chunks | None, remover: Remover) -> Any:
        """Return the cleared image as a dask array."""
        tasks = {}
        for row, line in enumerate(values.lines):
            for col, window in enumerate(line):
                computed, seen = self.work.reach(window, len(remover.passes))
                around, keys = values.touching(seen)
                over, cloud_keys = (None, []) if clouds is None else clouds.touching(seen)
                call = partial(_Work.clear, around=around, over=over, computed=computed, window=window)
                tasks[self.name, 0, row, col] = (call, self.held, self.found, keys, cloud_keys)
        needs = [values.array] if clouds is None else [values.array, clouds.array]
        sizes = ((remover.bands,), *values.array.chunks[-2:])
        return self._array(self.name, tasks, needs, sizes, values.array.dtype)

    def _array(self, name: str, tasks: dict[Any, Any], needs: Sequence[Any], sizes: Sequence[Any], kind: Any) -> Any:
        """Return an array of some tasks, which need the chunks of other arrays."""
        import dask.array as da
        from dask.highlevelgraph import HighLevelGraph

        graph = HighLevelGraph.from_collections(name, self.tasks | tasks, [*self.needs, *needs])
        return da.Array(graph, name, sizes, kind)


@dataclass(frozen=True, eq=False)
class _Work:
    """The work on chunks, in any process: what is known of the image besides its values, and how it is cleared."""

    image: ArrayImage
    size: tuple[int, int]
    model: Any
    options: SceneOptions
    device: str | torch.device | None

    def look(self, parts: Sequence[Mapping[Window, np.ndarray]]) -> SceneRange:
        """Find the range of the image in some of its windows."""
        values = Parts({window: part for some in parts for window, part in some.items()})
        with self._remover() as remover:
            return range_of(replace(self.image, values=values), self.size, self.options, remover)

    def detect(
        self, found: SceneRange, values: Sequence[np.ndarray], around: Sequence[Window], window: Window
    ) -> np.ndarray:
        """Find the clouds of a window by the values of the chunks around it."""
        with self._remover() as remover:
            units = range_seen(remover.detector, found.stored, found.reflectance)
            cloud = np.zeros((window.height, window.width), bool)
            read = self._reader(around, values, found)
            for block, part in detect_clouds(remover.detector, read, units, *self.size, window):
                cloud[inside_of(block, window)] = part
            return cloud

    def reach(self, window: Window, passes: int) -> tuple[Window, Window]:
        """Return what is computed for a window of the result by all passes but the last, and what is read for it."""
        computed = window
        for _ in range(passes - 1):
            computed = _around(self._windows_in(computed))
        needed = _around(self._windows_in(computed))
        return computed, around_of(needed, self.options.dilate + self.options.feather, *self.size)

    def clear(
        self,
        found: SceneRange,
        values: Sequence[np.ndarray],
        clouds: Sequence[np.ndarray],
        *,
        around: Sequence[Window],
        over: Sequence[Window] | None,
        computed: Window,
        window: Window,
    ) -> np.ndarray:
        """Clear a window by the values and the clouds of the chunks around it."""
        read, options = self._reader(around, values, found), self.options
        alpha = None
        if over is not None:
            cloud = Parts(dict(zip(over, clouds, strict=True)))
            rim = (options.dilate, options.feather)
            alpha = CloudMask(
                *(lambda part: cloud[part.slices], *self.size, *rim), valid=lambda part: read(part)[1]
            ).alpha
        image = Image(*self.size, read, found.stored, self._nodata, alpha)
        with replace(self, options=replace(options, mask="none"))._remover() as remover:  # clouds are found already
            image = image if remover.radar is None else Radar(remover.radar).beside(image)
            wanted = [one for one in self._windows_in(computed) if has_work(image, one)]
            job = PartJob(computed)
            loop = PassLoop(image, wanted, job, remover.bands, options.tiling, options.seed, remover.device)
            loop.run(remover.passes, [computed], Ranks())
            stored, valid = read(window)
            share = valid.astype(np.float32) if image.alpha is None else valid * image.alpha(window)
            cleared = job.raster(clear_name(0), remover.passes[-1].output_bands).read(window)
            return merge(stored[: remover.bands], cleared[: remover.bands], share, found.stored, self._nodata)

    def _windows_in(self, area: Window) -> list[Window]:
        """Return the windows of the image that reach into an area."""
        return windows_in(area, *self.size, self.options.tile, self.options.overlap)

    def _reader(self, around: Sequence[Window], values: Sequence[np.ndarray], found: SceneRange) -> Read:
        """Return what gives the pixels of any window of the image within some chunks."""
        part = replace(self.image, values=Parts(dict(zip(around, values, strict=True))))
        return partial(part.read, nodata=self._nodata, stored=found.stored)

    @property
    def _nodata(self) -> float | None:
        return self.image.nodata if self.options.nodata is None else self.options.nodata

    @contextmanager
    def _remover(self) -> Iterator[Remover]:
        """Give what the image needs of the model, which computes one chunk at a time."""
        with ONE_AT_A_TIME, remover_of(self.model, self.options, self.device) as remover:
            yield remover


def _around(inside: Sequence[Window]) -> Window:
    """Return the rectangle around some windows."""
    top, left = min(one.row for one in inside), min(one.col for one in inside)
    bottom, right = max(one.row + one.height for one in inside), max(one.col + one.width for one in inside)
    return Window(top, left, bottom - top, right - left)
