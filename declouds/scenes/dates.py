"""Several dates of one place: the clouds of a scene filled from its other dates, before any network."""

import datetime
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from declouds.compositing.air import Air
from declouds.compositing.colour import ColourMatch, match_colours
from declouds.compositing.composite import composite
from declouds.compositing.ground import Place, sample_ground, spread
from declouds.compositing.shift import find_shift
from declouds.errors import UserError
from declouds.nodata import merge_stored
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.spectral import spectral_words
from declouds.scenes.rasters.web_path import located
from declouds.scenes.sampling.cloud_mask import CloudMask, Pixels
from declouds.scenes.sampling.image import Image, Read
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange
from declouds.wavelengths import CENTRES

Detect = Callable[[Read], Iterator[tuple[Window, np.ndarray]]]  # what reads an image -> its clouds, block by block
IsClear = Callable[[Window, np.ndarray], np.ndarray]  # window, and where it has data -> which pixels are clear

BLOCK = 512  # side of what is filled at a time
PATCH, PATCHES = 256, 3  # pixels of a patch whose shift is found, and the most along each axis
HALF_PIXEL = 0.5
OTHER_UNITS = 20.0  # times brighter or darker than the target: no season does that

_log = logging.getLogger("declouds")


@dataclass(frozen=True)
class Date:
    """Another date of the target, a file or an array.

    Args:
        name: for messages: of a file, its path.
        day: when it was taken, if that is known.
        gap: days from the target to it, NaN if one of the two days is not known.
        laid: lays it on the target's grid, moved up and to the left by so many rows and columns: gives values in the
            target's stored units, and which pixels have data.
        mask: opens its cloud mask on the target's grid; the detector finds its clouds if None.
        files: all that its pixels and clouds come from.
    """

    name: str
    day: datetime.date | None
    gap: float
    laid: Callable[[tuple[float, float]], AbstractContextManager[Read]]
    mask: Callable[[], AbstractContextManager[Pixels]] | None = None
    files: Sequence[Path] = ()


@dataclass(frozen=True)
class Fill:
    """What the composite is made with: for each date how it is read, where it is clear, its colour and days."""

    reads: list[Read]
    clear: list[IsClear]
    colours: list[ColourMatch]
    shifts: list[tuple[float, float] | None]
    gaps: list[float]
    how: str

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the composite, and where a date is clear. Shapes: (C, h, w) float32, (h, w) bool."""
        layers, clear = [], []
        for read, is_clear, colour in zip(self.reads, self.clear, self.colours, strict=True):
            values, valid = read(window)
            clear.append(is_clear(window, valid))
            layers.append(colour(np.where(valid, values, 0).astype(np.float32)))
        return composite(np.stack(layers), np.stack(clear), self.gaps, self.how)


def filled_from(
    image: Image,
    name: str,
    air: Air,
    dates: Sequence[Date],
    detect: Detect,
    job: Any,
    options: SceneOptions,
    leads: bool = True,
) -> tuple[Image, list[dict[str, Any]]]:
    """Return an image whose clouds are filled where one of the dates is clear; what is left of its mask stays.

    The composite is computed once, into the raster ``mosaic`` of the job; windows are read from there.

    Args:
        image: the target, with its cloud mask.
        name: of the target, for messages.
        air: what it does to the bands of the target.
        dates: the other dates.
        detect: finds the clouds of dates without a mask of their own, block by block, as `detect_clouds` does.
        job: where rasters are.
        options: the user's choices.
        leads: whether this process computes; the others are to wait for it before they read.

    Returns:
        the image, and what was done with each date.

    Raises:
        UserError: a date is in other units; no date is clear under the clouds.
    """
    assert image.alpha is not None
    alpha, whole, bands = image.alpha, Window(0, 0, image.height, image.width), len(air.wavelengths)
    raster = job.raster("mosaic", bands + 1)  # and where a date is clear
    facts: list[dict[str, Any]] = [dict(name=located(date.name).name) for date in dates]
    if leads and job.rows_done("mosaic", whole) == 0:
        try:
            facts = _write_mosaic(raster, image, name, air, dates, detect, job, options)
        except UserError:
            job.remove()  # the user has to change something, so nothing of it is of use
            raise
        job.note_rows("mosaic", whole, image.height)

    def stored(window: Window) -> tuple[np.ndarray, np.ndarray]:
        mosaic = raster.read(window)
        return mosaic[:bands], mosaic[bands] > 0

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        original, valid = image.read(window)
        part = alpha(window) * valid
        if not part.any():
            return original, valid
        values, covered = stored(window)
        return merge_stored(original, values, part * covered, image.value_range, image.nodata), valid

    def filled_pixels(window: Window) -> np.ndarray:
        return (alpha(window) > 0) & stored(window)[1] & image.read(window)[1]

    def left(window: Window) -> np.ndarray:
        return alpha(window) * ~stored(window)[1]

    return replace(image, read=read, alpha=left, filled=filled_pixels), facts


def _write_mosaic(
    raster: Any,
    image: Image,
    name: str,
    air: Air,
    dates: Sequence[Date],
    detect: Detect,
    job: Any,
    options: SceneOptions,
) -> list[dict[str, Any]]:
    """Compute the composite under the clouds, block by block, and return what was done with each date."""
    assert image.alpha is not None
    cloudy = filled = 0
    with ExitStack() as stack:
        fill = _fill(image, air, dates, detect, job, options, stack)
        for window in _blocks(image.height, image.width, BLOCK):
            cloud = image.alpha(window) > 0
            if cloud.any():
                values, covered = fill(window)
                raster.write(window, np.concatenate([values, covered[None]]).astype(np.float32))
                cloudy, filled = cloudy + int(cloud.sum()), filled + int((cloud & covered).sum())
    if cloudy and not filled:
        raise UserError(
            f"{name}: no date is clear where it has clouds: give other dates, or loosen the mask (--detector, --dilate)"
        )
    return _facts(dates, fill)


def _fill(
    image: Image, air: Air, dates: Sequence[Date], detect: Detect, job: Any, options: SceneOptions, stack: ExitStack
) -> Fill:
    """Find clouds, shifts and colours of the dates."""
    reads, clear, shifts = [], [], []
    for number, date in enumerate(dates):
        read = stack.enter_context(date.laid((0.0, 0.0)))
        cloud = _clouds(date, read, detect, job, number, stack)
        is_clear = _clear(cloud, image, options)
        shift = _shift(image, read, is_clear)
        far = shift is not None and max(map(abs, shift)) > HALF_PIXEL
        if far and shift is not None and options.align:
            read = stack.enter_context(date.laid(shift))
            is_clear = _clear(cloud, image, options, math.ceil(max(map(abs, shift))))
        if far and shift is not None:
            done = "it is moved there" if options.align else "correct it with --align, or give a co-registered file"
            rows, cols = shift
            _log.warning("%s: lies %.1f rows and %.1f columns beside the scene: %s", date.name, rows, cols, done)
        reads.append(read)
        clear.append(is_clear)
        shifts.append(shift)
    colours = _colours(image, air, dates, reads, clear, options)
    return Fill(reads, clear, colours, shifts, [date.gap for date in dates], options.composite)


def _clouds(date: Date, read: Read, detect: Detect, job: Any, number: int, stack: ExitStack) -> Pixels:
    """Return what reads the clouds of a date on the grid of the target."""
    if date.mask is not None:
        return stack.enter_context(date.mask())
    raster = job.raster(f"clouds_of_date{number}", 1)
    for window, found in detect(read):
        raster.write(window, found[None].astype(np.float32))
    return lambda window: raster.read(window)[0] > 0


def _clear(cloud: Pixels, image: Image, options: SceneOptions, more: int = 0) -> IsClear:
    """Return where a date is clear, given where it has data: its clouds are grown as those of the target."""
    mask = CloudMask(cloud, image.height, image.width, options.dilate + more)
    return lambda window, valid: valid & (mask.alpha(window) == 0)


def _shift(image: Image, read: Read, is_clear: IsClear) -> tuple[float, float] | None:
    """Return the median shift of patches all over the image, None if none of them shows any."""
    found = []
    for place in spread(image.height, image.width, PATCH, PATCHES):
        window = Window(*place)
        ours, valid = image.read(window)
        theirs, there = read(window)
        assert image.alpha is not None
        both = valid & (image.alpha(window) == 0) & is_clear(window, there)
        shift = find_shift(np.where(both, ours.mean(0), 0), np.where(both, theirs.mean(0), 0), both)
        if shift is not None:
            found.append(shift)
    if not found:
        return None
    rows, cols = np.median(found, 0)
    return float(rows), float(cols)


def _colours(
    image: Image,
    air: Air,
    dates: Sequence[Date],
    reads: Sequence[Read],
    clear: Sequence[IsClear],
    options: SceneOptions,
) -> list[ColourMatch]:
    """Return the colour match of each date, from cells all over the image."""

    def target(place: Place) -> tuple[np.ndarray, np.ndarray]:
        window = Window(*place)
        ours, valid = image.read(window)
        assert image.alpha is not None
        return ours, valid & (image.alpha(window) == 0)

    def layers(place: Place) -> tuple[np.ndarray, np.ndarray]:
        window = Window(*place)
        pairs = [read(window) for read in reads]
        seen = [is_clear(window, there) for (_, there), is_clear in zip(pairs, clear, strict=True)]
        return np.stack([values for values, _ in pairs]), np.stack(seen)

    ground = sample_ground(target, layers, image.height, image.width)
    identity = [ColourMatch.identity(len(air.wavelengths)) for _ in dates]
    if ground is None:
        _log.warning("%s has no clear pixels: the colours of the dates are not matched to it", "the scene")
        return identity
    for date, layer, mine in zip(dates, ground.dates, ground.seen, strict=True):
        if mine.any():
            _check_level(date.name, ground.target[:, mine], layer[:, mine])
    if options.colour == "keep":
        return identity
    known = air.of(ground.target)
    if known is not air:
        _log.info("bands without names: these 13, of which the 11th is dark, are matched as those of Sentinel-2")
    matches = match_colours(ground, known)
    for date, mine, match in zip(dates, ground.seen, matches, strict=True):
        if not match.centre.any():
            _log.warning(
                "%s: shares too few clear pixels with the scene (%d samples): its colours stay as they are",
                date.name,
                int(mine.sum()),
            )
    return matches


def _check_level(name: str, target: np.ndarray, date: np.ndarray) -> None:
    """Refuse values of another order of magnitude than the target's on the same clear ground."""
    ours, theirs = (float(np.median(np.abs(values))) for values in (target, date))
    if min(ours, theirs) * OTHER_UNITS < max(ours, theirs):
        raise UserError(
            f"{name}: its clear pixels (median {theirs:.4g}) are in other units than those of the scene ({ours:.4g}): "
            "convert it, or write its scale and offset into it (gdal_edit.py -scale S -offset O)"
        )


def _facts(dates: Sequence[Date], fill: Fill) -> list[dict[str, Any]]:
    """Return what was done with each date, for the summary."""
    return [
        dict(
            name=located(date.name).name,
            day=None if date.day is None else date.day.isoformat(),
            shift=None if shift is None else [round(part, 2) for part in shift],
            offset=[round(float(part), 4) for part in colour.offset],
            gain=[round(1 + float(part), 4) for part in colour.slope],
        )
        for date, colour, shift in zip(dates, fill.colours, fill.shifts, strict=True)
    ]


def air_of(names: Sequence[str | None], tags: tuple[float, float]) -> Air:
    """Return what air does to bands, by their names.

    Args:
        names: of the bands.
        tags: scale and offset of the image, by which stored values become reflectances or counts.
    """
    scale, offset = tags
    wavelengths = [CENTRES.get(word or "") for word in spectral_words(names)]
    return Air(wavelengths, np.full(len(names), -offset / scale))


def range_of_date(target: ValueRange, tags: tuple[float, float], own_tags: tuple[float, float]) -> ValueRange:
    """Return the range of a target in the stored values of a date: the same light, not a range of the date's own.

    Args:
        target: stored values of the target that stand for -1 and 1.
        tags: scale and offset of the target.
        own_tags: those of the date.
    """
    (scale, offset), (own_scale, own_offset) = tags, own_tags
    low, high = ((end * scale + offset - own_offset) / own_scale for end in (target.low, target.high))
    return ValueRange(low, high)


def check_type(name: str, dtype: np.dtype, target: np.dtype) -> None:
    """Refuse 8-bit pictures beside measurements.

    Raises:
        UserError: as said.
    """
    if dtype.kind in "iu" and target.kind in "iu" and (dtype.itemsize == 1) != (target.itemsize == 1):
        raise UserError(
            f"{name}: is {dtype.name}, and the scene {target.name}: give the date in the units of the scene"
        )


def _blocks(height: int, width: int, side: int) -> Iterator[Window]:
    """Yield squares that cover an image."""
    for row in range(0, height, side):
        for col in range(0, width, side):
            yield Window(row, col, min(side, height - row), min(side, width - col))
