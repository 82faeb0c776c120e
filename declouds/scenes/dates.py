"""Several dates of one place: the clouds of a scene filled from its other dates, before any network."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from declouds.compositing.colour import ColourMatch, match_colour
from declouds.compositing.composite import composite
from declouds.compositing.shift import find_shift
from declouds.errors import UserError
from declouds.nodata import merge_stored
from declouds.scenes.mask_source import MaskSource, mask_source
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.date_file import Date, day_of, on_grid_of, split_date
from declouds.scenes.rasters.mask_file import open_mask
from declouds.scenes.rasters.scene import Scene, scene_for
from declouds.scenes.rasters.scene_file import source_files
from declouds.scenes.sampling.cloud_mask import CloudMask, Pixels, detect_clouds, range_seen
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange

BLOCK = 512  # side of what is filled at a time
CELL, CELLS = 32, 24  # pixels of a cell whose colours are compared, and the most along each axis
AWAY = 3  # pixels from the edge of a cloud, within which its rim goes on
PATCH, PATCHES = 256, 3  # the same for shifts
HALF_PIXEL = 0.5
OTHER_UNITS = 20.0  # times brighter or darker than the target: no season does that

_log = logging.getLogger("declouds")


@dataclass(frozen=True)
class OpenDate:
    """A date to fill from.

    Args:
        scene: the date, open.
        gap: days from the target to it, NaN if one of the two is not known.
        mask: where its clouds are taken from.
        files: all that its pixels and clouds come from.
    """

    scene: Scene
    day: Any
    gap: float
    mask: MaskSource
    files: list[Path]


@dataclass(frozen=True)
class Fill:
    """What the composite is made with: for each date how it is read, where it is clear, its colour and days."""

    dates: list[Date]
    clear: list[Callable[[Window, np.ndarray], np.ndarray]]
    colours: list[ColourMatch]
    shifts: list[tuple[float, float] | None]
    gaps: list[float]
    how: str

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the composite, and where a date is clear. Shapes: (C, h, w) float32, (h, w) bool."""
        layers, clear = [], []
        for date, is_clear, colour in zip(self.dates, self.clear, self.colours, strict=True):
            values, valid = date.read(window)
            clear.append(is_clear(window, valid))
            layers.append(colour(np.where(valid, values, 0).astype(np.float32)))
        return composite(np.stack(layers), np.stack(clear), self.gaps, self.how)


@contextmanager
def open_dates(target: Scene, options: SceneOptions, remover: Any) -> Iterator[list[OpenDate]]:
    """Open the other dates of a scene, with the bands and units of the target; none without `options.dates`.

    Raises:
        UserError: a date is the target itself, is named twice, has other bands or units, does not overlap the target,
            or has no day and one is needed; see also `scene_for` and `mask_source`.
    """
    with ExitStack() as stack:
        ours, found = day_of(target.file, target.path), []
        _check_paths(target, options.dates or ())
        if options.dates and ours is None and options.composite != "median":
            raise UserError(
                f"{target.path}: neither its tags nor its name say when it was taken: put the day into its name, as in "
                "scene_2018-07-05.tif, or use --composite median, which needs none"
            )
        for number, given in enumerate(options.dates or ()):
            path, day = split_date(given)
            scene = stack.enter_context(
                scene_for(
                    *(path, remover.value_range, remover.in_bands, remover.bands, remover.band_names, options.bands),
                    **dict(scale=options.scale, offset=options.offset, nodata=options.nodata, trained=remover.trained),
                )
            )
            if remover.value_range is None:
                scene = replace(scene, stored_range=_range_of(target, scene))
            if scene.dtype.kind in "iu" and target.dtype.kind in "iu" and scene.stored_range == target.stored_range:
                _check_type(scene, target)
            day = day or day_of(scene.file, path)
            if day is None and options.composite != "median":
                raise UserError(
                    f"{path}: neither its tags nor its name say when it was taken: say it (--date {path}@2018-06-25), "
                    "or use --composite median, which needs no dates"
                )
            with on_grid_of(target, scene, day):
                pass  # it can be laid there
            if options.date_masks:
                mask = MaskSource(options.date_masks[number], options.rule)
            else:
                mask = mask_source(options, path, scene.file, remover.detector)
            gap = math.nan if day is None or ours is None else float((day - ours).days)
            found.append(OpenDate(scene, day, gap, mask, [path, *source_files(scene.file), *mask.files]))
        yield found


def _check_paths(target: Scene, dates: Sequence[str]) -> None:
    """Refuse the target, and a date named twice."""
    taken = {target.path.resolve(): "the scene itself: leave it out of --date"}
    for given in dates:
        path = split_date(given)[0].resolve()
        if path in taken:
            raise UserError(f"{given}: is {taken[path]}")
        taken[path] = "named twice: leave one out"


def _range_of(target: Scene, date: Scene) -> ValueRange:
    """Return the range of the target in the stored values of a date: the same light, not a range of the date's own."""
    (scale, offset), (own_scale, own_offset) = (
        (scene.file.scales[scene.indexes[0] - 1], scene.file.offsets[scene.indexes[0] - 1]) for scene in (target, date)
    )
    low, high = (
        (end * scale + offset - own_offset) / own_scale for end in (target.stored_range.low, target.stored_range.high)
    )
    return ValueRange(low, high)


def _check_type(scene: Scene, target: Scene) -> None:
    """Refuse 8-bit pictures beside measurements."""
    if (scene.dtype.itemsize == 1) != (target.dtype.itemsize == 1):
        raise UserError(
            f"{scene.path}: is {scene.dtype.name}, and the scene {target.dtype.name}: give the date in the units of "
            "the scene"
        )


@contextmanager
def filled_from(
    image: Image, target: Scene, dates: Sequence[OpenDate], job: Any, options: SceneOptions, leads: bool = True
) -> Iterator[tuple[Image, list[dict[str, Any]]]]:
    """Give an image whose clouds are filled where one of the dates is clear; what is left of its mask stays.

    The composite is computed once, into the raster ``mosaic`` of the job; windows are read from there.

    Args:
        image: the target, with its cloud mask.
        target: the same, as a scene.
        dates: from `open_dates`.
        job: where rasters are.
        options: the user's choices.
        leads: whether this process computes; the others are to wait for it before they read.

    Yields:
        the image, and what was done with each date.

    Raises:
        UserError: a date is in other units; no date is clear under the clouds.
    """
    assert image.alpha is not None
    alpha, whole = image.alpha, Window(0, 0, image.height, image.width)
    raster, bands = job.raster("mosaic", mosaic_bands(target)), len(target.indexes)
    facts: list[dict[str, Any]] = [dict(name=date.scene.path.name) for date in dates]
    if leads and job.rows_done("mosaic", whole) == 0:
        try:
            facts = _write_mosaic(raster, image, target, dates, job, options)
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

    yield replace(image, read=read, alpha=left, filled=filled_pixels), facts


def _write_mosaic(
    raster: Any, image: Image, target: Scene, dates: Sequence[OpenDate], job: Any, options: SceneOptions
) -> list[dict[str, Any]]:
    """Compute the composite under the clouds, block by block, and return what was done with each date."""
    assert image.alpha is not None
    cloudy = filled = 0
    with ExitStack() as stack:
        fill = _fill(image, target, dates, job, options, stack)
        for window in _blocks(image.height, image.width, BLOCK):
            cloud = image.alpha(window) > 0
            if cloud.any():
                values, covered = fill(window)
                raster.write(window, np.concatenate([values, covered[None]]).astype(np.float32))
                cloudy, filled = cloudy + int(cloud.sum()), filled + int((cloud & covered).sum())
    if cloudy and not filled:
        raise UserError(
            f"{target.path}: no date is clear where it has clouds: give other dates, or loosen the mask (--detector, "
            "--dilate)"
        )
    return _facts(fill)


def mosaic_bands(target: Scene) -> int:
    """Return the bands of the raster ``mosaic``: the image's, and where a date is clear."""
    return len(target.indexes) + 1


def _fill(
    image: Image, target: Scene, dates: Sequence[OpenDate], job: Any, options: SceneOptions, stack: ExitStack
) -> Fill:
    """Find clouds, shifts and colours of the dates."""
    opened, clear, shifts = [], [], []
    for number, one in enumerate(dates):
        date = stack.enter_context(on_grid_of(target, one.scene, one.day))
        cloud = _clouds(date, one.mask, target, job, number, stack)
        is_clear = _clear(cloud, date, image, options)
        shift = _shift(image, date, is_clear)
        far = shift is not None and max(map(abs, shift)) > HALF_PIXEL
        if far and shift is not None and options.align:
            date = stack.enter_context(on_grid_of(target, one.scene, one.day, shift))
            is_clear = _clear(cloud, date, image, options, math.ceil(max(map(abs, shift))))
        if far and shift is not None:
            done = "it is moved there" if options.align else "correct it with --align, or give a co-registered file"
            rows, cols = shift
            _log.warning("%s: lies %.1f rows and %.1f columns beside the scene: %s", date.name, rows, cols, done)
        opened.append(date)
        clear.append(is_clear)
        shifts.append(shift)
    colours = _colours(image, opened, clear, options)
    return Fill(opened, clear, colours, shifts, [one.gap for one in dates], options.composite)


def _clouds(date: Date, mask: MaskSource, target: Scene, job: Any, number: int, stack: ExitStack) -> Pixels:
    """Return what reads the clouds of a date on the grid of the target."""
    if mask.file is not None:
        cloud = stack.enter_context(open_mask(mask.file, target.file, mask.rule))
        cloud.warn(date.scene.path)
        return cloud
    raster = job.raster(f"clouds_of_date{number}", 1)
    seen = range_seen(mask.detector, target.stored_range, target.reflectance)
    for window, found in detect_clouds(mask.detector, date.read, seen, *target.size):
        raster.write(window, found[None].astype(np.float32))
    return lambda window: raster.read(window)[0] > 0


def _clear(
    cloud: Pixels, date: Date, image: Image, options: SceneOptions, more: int = 0
) -> Callable[[Window, np.ndarray], np.ndarray]:
    """Return where a date is clear, given where it has data: its clouds are grown as those of the target."""
    mask = CloudMask(cloud, image.height, image.width, options.dilate + more)
    return lambda window, valid: valid & (mask.alpha(window) == 0)


def _shift(
    image: Image, date: Date, is_clear: Callable[[Window, np.ndarray], np.ndarray]
) -> tuple[float, float] | None:
    """Return the median shift of patches all over the image, None if none of them shows any."""
    found = []
    for window in _spread(image.height, image.width, PATCH, PATCHES):
        ours, valid = image.read(window)
        theirs, there = date.read(window)
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
    image: Image, dates: Sequence[Date], clear: Sequence[Callable[..., np.ndarray]], options: SceneOptions
) -> list[ColourMatch]:
    """Return the colour match of each date, from cells all over the image."""
    from scipy.ndimage import binary_erosion

    target, layers, seen, cells = [], [], [], []
    for number, window in enumerate(_spread(image.height, image.width, CELL, CELLS)):
        ours, valid = image.read(window)
        assert image.alpha is not None
        ground = binary_erosion(valid & (image.alpha(window) == 0), iterations=AWAY, border_value=1)
        ground[1::2], ground[:, 1::2] = False, False  # every other pixel says as much
        if not ground.any():
            continue
        pairs = [date.read(window) for date in dates]
        target.append(ours[:, ground])
        layers.append(np.stack([values[:, ground] for values, _ in pairs]).astype(np.float32))
        seen.append(
            np.stack([is_clear(window, there)[ground] for (_, there), is_clear in zip(pairs, clear, strict=True)])
        )
        cells.append(np.full(int(ground.sum()), number))
    if not target:
        _log.warning("%s has no clear pixels: the colours of the dates are not matched to it", "the scene")
        return [ColourMatch.identity(len(image.read(Window(0, 0, 1, 1))[0])) for _ in dates]
    x, d = np.concatenate(target, 1), np.concatenate(layers, 2)
    s, cell = np.concatenate(seen, 1), np.concatenate(cells)
    return [_colour(number, x, d, s, cell, dates, options) for number in range(len(dates))]


def _colour(
    number: int,
    target: np.ndarray,
    layers: np.ndarray,
    seen: np.ndarray,
    cell: np.ndarray,
    dates: Sequence[Date],
    options: SceneOptions,
) -> ColourMatch:
    """Return the match of one date; a difference of two dates says how far it may go: half of it, as in between."""
    mine, date = seen[number], layers[number]
    if mine.any():
        _check_level(dates[number].name, target[:, mine], date[:, mine])
    if options.colour == "keep":
        return ColourMatch.identity(len(target))
    match = match_colour(target[:, mine], date[:, mine], cell[mine], _change(number, layers, seen))
    if not match.centre.any():
        _log.warning(
            "%s: shares too few clear pixels with the scene (%d samples): its colours stay as they are",
            dates[number].name,
            int(mine.sum()),
        )
    return match


def _change(number: int, layers: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
    """Return half the median difference of a date to the others, per band; None if no other shares clear pixels."""
    found = []
    for other in range(len(layers)):
        both = seen[number] & seen[other]
        if other != number and both.any():
            found.append(0.5 * np.median(np.abs(layers[number][:, both] - layers[other][:, both]), 1))
    return np.median(found, 0) if found else None


def _check_level(name: str, target: np.ndarray, date: np.ndarray) -> None:
    """Refuse values of another order of magnitude than the target's on the same clear ground."""
    ours, theirs = (float(np.median(np.abs(values))) for values in (target, date))
    if min(ours, theirs) * OTHER_UNITS < max(ours, theirs):
        raise UserError(
            f"{name}: its clear pixels (median {theirs:.4g}) are in other units than those of the scene ({ours:.4g}): "
            "convert it, or write its scale and offset into it (gdal_edit.py -scale S -offset O)"
        )


def _facts(fill: Fill) -> list[dict[str, Any]]:
    """Return what was done with each date, for the summary."""
    return [
        dict(
            name=date.scene.path.name,
            day=None if date.day is None else date.day.isoformat(),
            shift=None if shift is None else [round(part, 2) for part in shift],
            offset=[round(float(part), 4) for part in colour.offset],
            gain=[round(1 + float(part), 4) for part in colour.slope],
        )
        for date, colour, shift in zip(fill.dates, fill.colours, fill.shifts, strict=True)
    ]


def _blocks(height: int, width: int, side: int) -> Iterator[Window]:
    """Yield squares that cover an image."""
    for row in range(0, height, side):
        for col in range(0, width, side):
            yield Window(row, col, min(side, height - row), min(side, width - col))


def _spread(height: int, width: int, side: int, most: int) -> Iterator[Window]:
    """Yield squares spread evenly over an image, at most so many along each axis."""

    def starts(length: int) -> list[int]:
        size = min(side, length)
        count = max(min(most, length // size), 1)
        return [round(start) for start in np.linspace(0, length - size, count)]

    for row in starts(height):
        for col in starts(width):
            yield Window(row, col, min(side, height), min(side, width))
