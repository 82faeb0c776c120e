"""The loop of a pass: windows are read, computed and blended, and finished rows are stepped and kept.

Windows are read ahead in one thread, and rows stepped and written behind in another, while the network computes.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, islice, pairwise
from threading import Lock
from typing import Protocol

import numpy as np
import torch

from declouds.errors import UserError
from declouds.hardware import free_memory
from declouds.nodata import fill_nodata
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.memory import windows_that_fit
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.passes import Input, Noise, Pass
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.store import Raster
from declouds.scenes.sampling.tiles import Tiling, Window, blend_weights, touches


class RowBuffer:
    """A band of rows that moves down an area, and sums the windows that fall into it.

    Args:
        channels: bands of the windows.
        rows: how many rows are held at most.
        area: the rectangle of the image that is summed; parts of windows beyond it are left out.
        first: the first row of the area that is wanted.

    Shapes: ``sums`` (channels + 1, rows, area.width) float32, whatever the height of the image; the last is the sum of
    the weights.
    """

    def __init__(self, channels: int, rows: int, area: Window, first: int) -> None:
        self.sums = np.zeros((channels + 1, rows, area.width), np.float32)
        self.area = area
        self.first = first  # the row of the image that `sums[:, 0]` holds

    def add(self, window: Window, values: np.ndarray, weights: np.ndarray) -> None:
        """Add ``values`` by ``weights`` at the window's place. Shapes: (channels, h, w), (h, w)."""
        top, left = max(window.row, self.first), max(window.col, self.area.col)
        bottom = min(window.row + window.height, self.area.row + self.area.height)
        right = min(window.col + window.width, self.area.col + self.area.width)
        inside = (slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col))
        place = (slice(top - self.first, bottom - self.first), slice(left - self.area.col, right - self.area.col))
        self.sums[:-1, *place] += values[:, *inside] * weights[inside]
        self.sums[-1, *place] += weights[inside]

    def mean(self, window: Window) -> np.ndarray:
        """Return the means of a window, which begins at the first row; 0 where nothing was added.

        Shapes: (channels, window.height, window.width).
        """
        cols = slice(window.col - self.area.col, window.col - self.area.col + window.width)
        sums = self.sums[:, : window.height, cols]
        return np.divide(sums[:-1], sums[-1], out=np.zeros_like(sums[:-1]), where=sums[-1] > 0)

    def take(self, until: int) -> "RowBuffer":
        """Return a copy of the rows above ``until``, and remove them."""
        count = max(until - self.first, 0)
        taken = RowBuffer(len(self.sums) - 1, count, self.area, self.first)
        taken.sums[:] = self.sums[:, :count]
        kept = self.sums.shape[1] - count
        self.sums[:, :kept] = self.sums[:, count:]
        self.sums[:, kept:] = 0
        self.first += count
        return taken


Progress = Callable[[str, int, int], None]  # title of the pass, windows done and windows in all, of all passes

Inputs = list[np.ndarray]  # of one window: the cloudy image, then the inputs of the pass; (C, h, w) each
COLUMNS = 2048  # that are stepped at a time, so that their copies do not grow with the width of the scene


class Job(Protocol):
    """Where rasters are, and what is finished."""

    @property
    def passes_done(self) -> int:
        """How many passes are finished everywhere."""

    def raster(self, name: str, channels: int) -> Raster:
        """Return the raster called ``name``."""

    def rows_done(self, number: int | str, area: Window) -> int:
        """Return the first row of ``area`` that pass ``number`` has not finished."""

    def note_rows(self, number: int | str, area: Window, row: int) -> None:
        """Note that pass ``number`` has finished ``area`` above ``row``."""

    def note_pass(self, number: int) -> None:
        """Note that pass ``number`` is finished everywhere."""


def non_finite(window: Window) -> UserError:
    """Return the error for NaN or infinity in what a model returns for a window."""
    return UserError(
        f"the model returned non-finite values (NaN or infinity) in the window at row {window.row}, column "
        f"{window.col}: its training failed or its weights are damaged; use another checkpoint"
    )


@contextmanager
def _thread() -> Iterator[ThreadPoolExecutor]:
    """Give a thread for work beside the network; what it has not begun when an error comes is dropped."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class PassLoop:
    """Runs passes over an image of any size.

    Args:
        image: the image.
        grid: the windows that have something to clear, row by row.
        job: where rasters are, and what is finished.
        bands: bands of the noise.
        tiling: overlap, weights and number of the windows computed at a time; if that is None, as many as fit a GPU's
            memory, and one on a CPU.
        seed: of the noise.
        device: where windows are computed.
        progress: called after every batch.
    """

    def __init__(
        self,
        image: Image,
        grid: Sequence[Window],
        job: Job,
        bands: int,
        tiling: Tiling,
        seed: int,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.image, self.grid, self.job, self.bands = image, grid, job, bands
        self.tiling, self.seed, self.device, self.progress = tiling, seed, torch.device(device), progress
        self.batch_size = tiling.batch_size or 1  # halved when the device's memory does not hold a batch
        self.done = 0
        self.channels: dict[str, int] = {}
        self.reading = Lock()  # files are read by one thread at a time

    def run(self, passes: Sequence[Pass], areas: Sequence[Window], ranks: Ranks) -> None:
        """Run every pass that is not finished over ``areas``, and wait for the other processes after each.

        Raises:
            UserError: the model returns non-finite values, or one window does not fit the device's memory.
        """
        self._prepare(passes)
        mine = sum(touches(window, area) for area in areas for window in self.grid)
        with _thread() as reader, _thread() as writer:
            for number, step in enumerate(passes):
                if number >= self.job.passes_done:
                    for area in areas:
                        self._run_in(area, number, step, mine * len(passes), reader, writer)
                    ranks.wait()
                    if ranks.leads:
                        self.job.note_pass(number)
                self.done = mine * (number + 1)

    def _prepare(self, passes: Sequence[Pass]) -> None:
        """Note which rasters there are, and choose how many windows are computed at a time."""
        self.channels = {step.output: step.output_bands for step in passes}
        free = free_memory(self.device)
        if self.tiling.batch_size is None and free is not None and self.grid:
            in_bands, *size = self._cloudy(self.grid[0]).shape
            self.batch_size = windows_that_fit(free, passes, in_bands, self.bands, (size[0], size[1]), self.device)

    def _run_in(
        self,
        area: Window,
        number: int,
        step: Pass,
        total: int,
        reader: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
    ) -> None:
        """Run a pass over one area, from the first row that is not finished."""
        bottom, first = area.row + area.height, self.job.rows_done(number, area)
        within = [window for window in self.grid if touches(window, area)]
        todo = [window for window in within if window.row + window.height > first]
        self.done += len(within) - len(todo)
        lines = [list(line) for _, line in groupby(todo, key=lambda window: window.row)]
        if not lines:
            return
        buffer = RowBuffer(step.channels, lines[0][0].height, area, first)
        inputs = self._read_ahead(step, todo, reader)
        behind: Future[None] | None = None
        for line, below in pairwise([*lines, None]):
            assert line is not None
            buffer.first = max(buffer.first, line[0].row)  # rows without windows are left out
            self._add(line, inputs, step, buffer, total)
            # No later window reaches above its first row.
            finished = bottom if below is None else min(below[0].row, bottom)
            if behind is not None:
                behind.result()  # one line of rows is kept in memory at most, and an error stops the pass
            rows = buffer.take(min(finished, line[0].row + line[0].height))
            behind = writer.submit(self._finish, step, rows, number, area, finished)
        if behind is not None:
            behind.result()

    def _read_ahead(self, step: Pass, windows: Iterable[Window], reader: ThreadPoolExecutor) -> Iterator[Inputs]:
        """Yield the inputs of every window, the next batch of which is read while one is computed."""
        waiting: deque[Future[Inputs]] = deque()
        for window in windows:
            waiting.append(reader.submit(self._inputs, step, window))
            if len(waiting) > self.batch_size:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _add(self, line: Sequence[Window], inputs: Iterator[Inputs], step: Pass, buffer: RowBuffer, total: int) -> None:
        """Compute the windows of a line, a batch at a time, and add them to the blend."""
        start = 0
        while start < len(line):
            batch = line[start : start + self.batch_size]  # which may shrink on the way
            start += len(batch)
            images = [np.stack(image) for image in zip(*islice(inputs, len(batch)), strict=True)]
            computed = self._compute(step, batch, [torch.from_numpy(image).to(self.device) for image in images])
            for window, values in zip(batch, computed.cpu().numpy(), strict=True):
                if not np.isfinite(values).all():
                    raise non_finite(window)
                buffer.add(window, values, self._weights(window))
            self._tell(step, len(batch), total)

    def _tell(self, step: Pass, count: int, total: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(step.title, self.done, total)

    def _finish(self, step: Pass, rows: RowBuffer, number: int, area: Window, finished: int) -> None:
        """Step rows of the blend and write them, some columns at a time, and note them as finished."""
        output = self.job.raster(step.output, step.output_bands)
        height, right = rows.sums.shape[1], area.col + area.width
        for left in range(area.col, right, COLUMNS) if height else ():
            part = Window(rows.first, left, height, min(COLUMNS, right - left))
            values = rows.mean(part)
            if step.step is not None:
                rows_of = (values, *(self._read(source, part) for source in step.step_inputs))
                values = step.step(*map(torch.from_numpy, rows_of)).numpy()
            output.write(part, values)
        self.job.note_rows(number, area, finished)

    def _inputs(self, step: Pass, window: Window) -> Inputs:
        """Read what a pass computes a window from."""
        return [self._cloudy(window), *(self._read(source, window) for source in step.inputs)]

    def _compute(self, step: Pass, batch: Sequence[Window], images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Compute a batch of windows, by halves if the device's memory does not hold it."""
        try:
            with torch.inference_mode():
                parts = step.compute(*images).float()
        except torch.OutOfMemoryError as error:
            return self._compute_halves(step, batch, images, error)
        expected = (len(batch), step.channels, *images[0].shape[-2:])
        if parts.shape != expected:
            raise ValueError(f"{step.title}: shape {tuple(parts.shape)} came out, not {expected}")
        return parts

    def _compute_halves(
        self, step: Pass, batch: Sequence[Window], images: Sequence[torch.Tensor], error: BaseException
    ) -> torch.Tensor:
        """Go on with half as many windows at a time, from here to the end."""
        if len(batch) == 1:
            raise UserError(
                f"a single window of {batch[0].height} x {batch[0].width} pixels does not fit the device's memory: use "
                "a smaller --tile"
            ) from error
        half = len(batch) // 2
        self.batch_size = min(self.batch_size, half)
        logging.getLogger("declouds").warning(
            "%d windows at a time do not fit the device's memory: going on with %d", len(batch), half
        )
        torch.cuda.empty_cache()
        halves = (slice(half), slice(half, 2 * half), slice(2 * half, None))
        return torch.cat(
            [self._compute(step, batch[part], [image[part] for image in images]) for part in halves if batch[part]]
        )

    def _weights(self, window: Window) -> np.ndarray:
        """Return how much the pixels of a window count in the blend."""
        size = (self.image.height, self.image.width)
        return blend_weights(window, *size, self.tiling.overlap, self.tiling.taper)

    def _cloudy(self, window: Window) -> np.ndarray:
        """Return what the network sees of a window."""
        with self.reading:
            values, valid = self.image.read(window)
            seen = self.image.value_range.to_model(fill_nodata(values, valid))
            return seen if self.image.complete is None else self.image.complete(seen, window)

    def _read(self, source: Input, window: Window) -> np.ndarray:
        """Return a window of a raster, of a field of noise, or of the image."""
        if isinstance(source, Noise):
            return noise_field(self.seed, self.bands, *window, stream=source.stream)
        if source == "cloudy":
            return self._cloudy(window)
        return self.job.raster(source, self.channels[source]).read(window)
