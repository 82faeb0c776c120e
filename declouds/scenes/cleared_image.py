"""An image of any size: what is read of it, and the passes that clear it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from declouds.calibration import SpreadCalibration
from declouds.hardware import free_memory
from declouds.nodata import merge
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.loop import Job, PassLoop, Progress
from declouds.scenes.sampling.on_device import DeviceLoop
from declouds.scenes.sampling.passes import Pass, clear_name
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.tiles import Window, areas, windows
from declouds.value_range import ValueRange

BLOCK_ROWS, BLOCK_COLS = 256, 2048  # a tile of the output file has 256 x 256
ON_DEVICE = 0.4  # share of a GPU's free memory that an image held there may take
BUFFER = 256 * 2**20  # bytes of the blend in memory, unless the user says otherwise

_log = logging.getLogger("declouds")


@dataclass
class Tally:
    """What was met: windows in all, and those skipped; pixels by kind; valid values, and those out of range.

    Of several dates: the pixels that they filled, and the clouds that are left since no date is clear there. Of further
    bands: the cleared pixels that are left in them as they are. For a model with radar: the pixels that have it.
    """

    windows: int = 0
    skipped: int = 0
    pixels: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("valid", "nodata", "cleared", "changed"), 0))
    values: int = 0
    clipped_values: int = 0
    from_dates: int = 0
    left: int = 0
    left_in_further: int = 0
    with_radar: int = 0

    def warn_of_nothing(self, source: Path | str) -> None:
        """Say that a cloud detector has found nothing, if so: a user may have expected haze to go."""
        if not self.pixels["cleared"]:
            _log.warning(
                "%s: no cloud was found, so no pixel was changed: detectors miss thin even haze, which --mask none "
                "clears",
                source,
            )


@dataclass(frozen=True)
class Block:
    """A finished rectangle: the result as stored, and what is known of its quality, NaN where nothing was computed.

    Shapes: values (bands, h, w), weight (h, w), deviation (bands, h, w), changed (h, w) bool; left (h, w) is 1 where
    further bands are left as they are, although the model has cleared the pixel, and 0 where they are cleared too.
    """

    window: Window
    values: np.ndarray
    changed: np.ndarray
    weight: np.ndarray | None = None
    deviation: np.ndarray | None = None
    calibrated: bool = False  # the deviation is that of the error, else that of the samples
    left: np.ndarray | None = None


def has_work(image: Image, window: Window) -> bool:
    """Tell whether a window has data and something to clear."""
    _, valid = image.read(window)
    return bool((valid if image.alpha is None else valid & (image.alpha(window) > 0)).any())


def grid_of(image: Image, options: SceneOptions, tally: Tally) -> list[Window]:
    """Return the windows that have data and something to clear."""
    grid = windows(image.height, image.width, options.tile, options.overlap)
    wanted = [window for window in grid if has_work(image, window)]
    tally.windows, tally.skipped = len(grid), len(grid) - len(wanted)
    return wanted


def run_passes(
    image: Image,
    passes: Sequence[Pass],
    bands: int,
    job: Job,
    options: SceneOptions,
    tally: Tally,
    ranks: Ranks,
    progress: Progress | None = None,
    buffer: int = BUFFER,
    device: torch.device | str = "cpu",
) -> None:
    """Run the passes over this process's part of an image; their results are in the rasters of ``job``.

    Args:
        image: the image.
        passes: what is done with it.
        bands: bands that the model makes.
        job: where rasters are, and what is finished.
        options: the user's choices.
        tally: counts the windows.
        ranks: the processes that share the work.
        progress: called after every batch.
        buffer: bytes that the rows of the blend may take: a wider image is cut into columns.
        device: where the passes compute; on a GPU the whole image is held there if it fits.

    Raises:
        UserError: see `PassLoop.run`.
    """
    if not passes:
        return
    grid = grid_of(image, options, tally)
    channels = max(step.output_bands for step in passes) + 1
    cols = -(-4 * channels * min(options.tile, image.height) * image.width // buffer)
    parts = areas(image.height, image.width, options.tile, options.overlap, ranks.world, cols)
    arguments = (image, grid, job, bands, options.tiling, options.seed, device, progress)
    loop: PassLoop = PassLoop(*arguments)
    free = free_memory(torch.device(device))
    if free is not None and ranks.world == 1 and job.passes_done == 0 and grid:
        resident = DeviceLoop(*arguments)
        loop = resident if resident.bytes_needed(passes) < ON_DEVICE * free else loop
    loop.run(passes, parts[ranks.rank] if ranks.rank < len(parts) else [], ranks)


def cleared_blocks(
    image: Image,
    bands: int,
    passes: Sequence[Pass],
    job: Job,
    options: SceneOptions,
    tally: Tally,
    calibration: SpreadCalibration | None = None,
) -> Iterator[Block]:
    """Yield the image block by block, in its own type, top to bottom.

    With a calibration the deviation is that of the error of the result, which is the first sample.

    Shapes: see `Block`; the bands are the first of those that the image has.
    """
    results = {step.output: job.raster(step.output, step.output_bands) for step in passes}
    rasters = [results[clear_name(sample)] for sample in range(options.samples) if passes]
    half_range = (image.value_range.high - image.value_range.low) / 2
    for top in range(0, image.height, BLOCK_ROWS):
        for left in range(0, image.width, BLOCK_COLS):
            window = Window(top, left, min(BLOCK_ROWS, image.height - top), min(BLOCK_COLS, image.width - left))
            values, valid = image.read(window)
            alpha = valid.astype(np.float32)
            if image.alpha is not None:
                alpha *= image.alpha(window)
            filled = np.zeros_like(valid) if image.filled is None else image.filled(window)
            if image.filled is not None:
                tally.from_dates += int(filled.sum())
                tally.left += 0 if passes else int(((alpha > 0) & ~filled).sum())
            if not passes:  # other dates alone
                result = values[:bands]
                _count(tally, values, valid, filled, filled, image.value_range)
                yield Block(window, result, filled)
                continue
            original, first = values[:bands], rasters[0].read(window)
            result = merge(original, first[:bands], alpha, image.value_range, image.nodata)
            changed = ((result != original).any(0) | filled) & valid
            _count(tally, values, valid, (alpha > 0) | filled, changed, image.value_range)
            weight = np.where(alpha > 0, first[bands], np.nan) if len(first) > bands else None
            deviation = None
            if len(rasters) > 1:
                others = [first[:bands], *(raster.read(window)[:bands] for raster in rasters[1:])]
                spread = np.std(np.clip(others, -1, 1), axis=0, ddof=1)  # as they would be written
                spread = spread if calibration is None else calibration.deviation(spread)
                deviation = np.where(alpha > 0, spread * half_range, np.nan)
            yield Block(window, result, changed, weight, deviation, calibrated=calibration is not None)


def _count(
    tally: Tally, values: np.ndarray, valid: np.ndarray, cleared: np.ndarray, changed: np.ndarray, units: ValueRange
) -> None:
    """Count the pixels of a block."""
    counts = dict(valid=valid, nodata=~valid, cleared=cleared, changed=changed)
    for kind, those in counts.items():
        tally.pixels[kind] += int(those.sum())
    tally.values += int(valid.sum()) * len(values)
    tally.clipped_values += int((((values < units.low) | (values > units.high)) & valid).sum())
