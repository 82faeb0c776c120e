"""The loop over a scene: windows are read, predicted and blended, and finished blocks come out, top to bottom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from declouds.errors import UserError
from declouds.inference.nodata import fill_nodata, merge
from declouds.inference.noise import noise_field
from declouds.inference.row_buffer import RowBuffer
from declouds.inference.tiled import Predict
from declouds.inference.tiles import Window, blend_weights, check_tiling, windows
from declouds.value_range import ValueRange

Read = Callable[[Window], tuple[np.ndarray, np.ndarray]]  # window -> values as stored (in_bands, h, w), valid (h, w)
Progress = Callable[[int, int], None]  # windows done, windows in all

BLOCK_ROWS, BLOCK_COLS = 256, 2048  # blocks begin at multiples of these; a tile of the output file has 256 x 256


@dataclass
class Tally:
    """What the loop met: windows in all, done and skipped for want of data; valid values, and those out of range."""

    windows: int = 0
    done: int = 0
    skipped: int = 0
    values: int = 0
    clipped: int = 0


@dataclass(frozen=True)
class ClearedBlocks:
    """An image of any size, cleared by overlapping windows.

    Args:
        predict: ``(cloudy, noise) -> clear``.
        read: gives any rectangle of the image: values as stored, and which pixels have data.
        bands: bands of the result; the first of those that ``read`` gives.
        value_range: sensor values that stand for -1 and 1.
        nodata: value that results keep off.
        tile: height and width of a window.
        overlap: pixels that neighbouring windows share at least.
        seed: of the start noise, which is tied to the pixel's place.
        batch_size: windows predicted at a time.
    """

    predict: Predict
    read: Read
    bands: int
    value_range: ValueRange
    nodata: float | None = None
    tile: int = 256
    overlap: int = 64
    seed: int = 0
    batch_size: int = 1

    def __call__(
        self, height: int, width: int, tally: Tally, progress: Progress | None = None
    ) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield each block of the image once it is finished, as stored.

        In memory are the batch's windows and ``tile`` + 256 rows of the blend, whatever the height of the image.

        Shapes: (bands, window.height, window.width).

        Raises:
            UserError: a bad tile, overlap or batch size; the model gives values that are no numbers.
        """
        check_tiling(self.tile, self.overlap, self.batch_size)
        grid = windows(height, width, self.tile, self.overlap)
        tally.windows = len(grid)
        buffer = RowBuffer(self.bands, min(height, grid[0].height + BLOCK_ROWS), width)
        lines = [list(line) for _, line in groupby(grid, key=lambda window: window.row)]
        for line, below in zip(lines, [*lines[1:], None], strict=True):
            for batch in self._batches(line, tally):
                self._add(batch, buffer, height, width)
                tally.done += len(batch)
                if progress is not None:
                    progress(tally.done + tally.skipped, tally.windows)
            # No later window reaches above its first row; whole blocks only, so that a file's tile is written once.
            finished = height if below is None else below[0].row // BLOCK_ROWS * BLOCK_ROWS
            if finished > buffer.first:
                yield from self._blocks(buffer.first, buffer.take(finished), tally)

    def _batches(self, line: list[Window], tally: Tally) -> Iterator[list[tuple[Window, np.ndarray]]]:
        """Read the windows that have data, a batch at a time; an empty batch may come last, to report skipped ones."""
        batch: list[tuple[Window, np.ndarray]] = []
        for window in line:
            values, valid = self.read(window)
            if not valid.any():
                tally.skipped += 1
                continue
            batch.append((window, fill_nodata(self.value_range.to_model(values), valid)))
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        yield batch

    def _add(self, batch: list[tuple[Window, np.ndarray]], buffer: RowBuffer, height: int, width: int) -> None:
        """Predict a batch of windows and add them to the blend."""
        if not batch:
            return
        grid, images = zip(*batch, strict=True)
        noise = np.stack([noise_field(self.seed, self.bands, *window) for window in grid])
        with torch.inference_mode():
            clear = self.predict(torch.from_numpy(np.stack(images)), torch.from_numpy(noise))
            parts = clear.float().cpu().numpy()
        if parts.shape != noise.shape:
            raise ValueError(f"predict returned shape {parts.shape} for noise of shape {noise.shape}")
        for window, part in zip(grid, parts, strict=True):
            if not np.isfinite(part).all():
                raise UserError(
                    f"the model gave values that are no numbers (NaN or infinity) in the window at row {window.row}, "
                    f"column {window.col}: its training failed or its weights are damaged; use another checkpoint"
                )
            buffer.add(window, part * blend_weights(window, height, width, self.overlap))

    def _blocks(self, first: int, rows: np.ndarray, tally: Tally) -> Iterator[tuple[Window, np.ndarray]]:
        """Cut finished rows into blocks and give them the type and the nodata of the original."""
        _, count, width = rows.shape
        low, high = self.value_range.low, self.value_range.high
        for top in range(0, count, BLOCK_ROWS):
            for left in range(0, width, BLOCK_COLS):
                clear = rows[:, top : top + BLOCK_ROWS, left : left + BLOCK_COLS]
                window = Window(first + top, left, *clear.shape[1:])
                values, valid = self.read(window)
                tally.values += int(valid.sum()) * len(values)
                tally.clipped += int((((values < low) | (values > high)) & valid).sum())
                yield window, merge(values[: self.bands], clear, valid, self.value_range, self.nodata)
