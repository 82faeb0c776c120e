"""An image in memory, cleared by the same passes as a file."""

import datetime
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.scenes.array_dates import laid_dates
from declouds.scenes.array_image import NO_TAGS, ArrayImage, clouds_of
from declouds.scenes.checks import check_nodata
from declouds.scenes.clear import Remover
from declouds.scenes.cleared_image import Tally, cleared_blocks, run_passes
from declouds.scenes.dates import air_of, filled_from
from declouds.scenes.options import SceneOptions
from declouds.scenes.radar import radar_in_memory
from declouds.scenes.sampling.cloud_mask import CloudMask, detect_clouds, range_seen
from declouds.scenes.sampling.image import Image, Read, samples
from declouds.scenes.sampling.loop import Progress
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.scene_range import SceneRange, check_given, find_range
from declouds.scenes.sampling.store import MemoryJob
from declouds.scenes.sampling.tiles import Window
from declouds.units import check_units, choose_units
from declouds.value_range import ValueRange

FOR_FILES = ("bands", "memory", "cog", "quality", "preview", "overwrite", "restart")


def clear_array(
    remover: Remover,
    image: np.ndarray,
    options: SceneOptions,
    progress: Progress | None = None,
    nodata: float | None = None,
    tags: Sequence[tuple[float, float]] = NO_TAGS,
    day: datetime.date | None = None,
    dates: Sequence[ArrayImage] = (),
    sar: ArrayImage | None = None,
) -> np.ndarray:
    """Remove the clouds of an array.

    Args:
        remover: what to do.
        image: the cloudy image, as stored; what a masked array masks has no data.
        options: the user's choices; ``mask`` is an array here, or ``auto``.
        progress: called after every batch of windows.
        nodata: the image's own value for "no data", which the options override.
        tags: the image's own scale and offset of each band, which the options override.
        day: when it was taken, if that is known.
        dates: other dates, which fill its clouds first.
        sar: radar, for a model that takes it.

    Shapes: (in_bands, H, W) -> (bands, H, W).

    Raises:
        UserError: the array is not an image, or has other bands or units than the model takes; or an option is for
            files; see also `radar_in_memory`, `laid_dates` and `filled_from`.
    """
    check_array(image, options, remover)
    missing = nodata if options.nodata is None else options.nodata
    options = options.with_mask(remover.value_range is None)
    target = ArrayImage("the array", image, nodata, tags, day=day)
    size = height, width = image.shape[-2], image.shape[-1]
    found = range_of(target, size, options, remover)
    stored = found.stored
    read: Read = functools.partial(target.read, nodata=missing, stored=stored)
    radar = radar_in_memory(sar, remover.radar)
    seen = range_seen(remover.detector, stored, found.reflectance)
    mask = _mask(options, read, seen, size, remover)
    whole = Image(height, width, read, stored, missing, None if mask is None else mask.alpha)
    job, tally = MemoryJob(*size), Tally()
    if dates:

        def detect(of_date: Read) -> Iterator[tuple[Window, np.ndarray]]:
            return detect_clouds(remover.detector, of_date, seen, height, width)

        laid = laid_dates(dates, target, whole, options, remover)
        air = air_of(remover.band_names or [None] * len(image), target.tags[0])
        whole, _ = filled_from(whole, target.name, air, laid, detect, job, options)
    whole = whole if radar is None else radar.beside(whole)
    run_passes(*(whole, remover.passes, remover.bands, job, options, tally, Ranks(), progress), device=remover.device)
    result = image[: remover.bands].copy()
    for block in cleared_blocks(whole, remover.bands, remover.passes, job, options, tally):
        np.ma.getdata(result)[..., *block.window.slices] = block.values
    if mask is not None and options.detects:
        tally.warn_of_nothing("the array")
    return result


def range_of(target: ArrayImage, size: tuple[int, int], options: SceneOptions, remover: Remover) -> SceneRange:
    """Return the range of an image in memory: the model's, or for a model of any units its own.

    Args:
        target: the image; windows of it are looked at.
        size: its rows and columns.
        options: the user's choices.
        remover: what will be done with it.

    Raises:
        UserError: see `choose_units`, `find_range` and `check_units`.
    """
    units = choose_units("the array", target.tags, options.scale, options.offset, "scale and offset")
    read = functools.partial(target.read, nodata=target.nodata if options.nodata is None else options.nodata)
    if remover.value_range is None:
        return find_range("the array", functools.partial(read, stored=None), *size, units, options.value_range)
    check_given(options.value_range)
    stored = units.stored(remover.value_range)
    looked_at = samples(functools.partial(read, stored=stored), *size)
    check_units("the array", looked_at, remover.value_range, units, remover.trained)
    return SceneRange(stored, stored)


def check_array(image: Any, options: SceneOptions, remover: Remover) -> None:
    """Refuse what is not an image, and options that do not apply to arrays, by shape and type alone.

    Raises:
        UserError: as said.
    """
    for name in FOR_FILES:
        if getattr(options, name):
            raise UserError(f"{name} = {getattr(options, name)!r}: applies to files only, not to arrays")
    if image.ndim != 3 or 0 in image.shape:
        raise UserError(f"an image is an array (bands, height, width); got shape {image.shape}")
    if image.dtype.kind not in "iuf":
        raise UserError(f"an image holds integers or floating-point numbers; got {image.dtype.name}")
    if options.nodata is not None:
        check_nodata("the array", options.nodata, image.dtype)
    if len(image) != remover.in_bands:
        names = f" ({', '.join(remover.band_names)})" if remover.band_names else ""
        raise UserError(f"the array: has {len(image)} bands, the model takes {remover.in_bands}{names}: give those")


def given_clouds(
    options: SceneOptions, size: tuple[int, int], valid: Callable[[Window], np.ndarray] | None = None
) -> np.ndarray | None:
    """Return the clouds of the mask that the user gave, (H, W) bool; None if they are to be detected.

    Args:
        options: the user's choices.
        size: rows and columns of the image.
        valid: gives its pixels with data in any window, if they are at hand, see `MaskClasses.warn`.

    Raises:
        UserError: the mask is neither an array nor ``auto``; see also `clouds_of`.
    """
    if isinstance(options.mask, np.ndarray):
        mask = clouds_of(options.mask, options, size)
        mask.warn("the array", valid)
        return mask(Window(0, 0, *size))
    if not options.detects:
        raise UserError(f"mask = {str(options.mask)!r}: the mask of an array is an array, or 'auto'")
    return None


def _mask(
    options: SceneOptions, read: Read, units: ValueRange, size: tuple[int, int], remover: Remover
) -> CloudMask | None:
    """Return the requested cloud mask."""
    if options.clears_all:
        return None

    def valid(window: Window) -> np.ndarray:
        return read(window)[1]

    cloud = given_clouds(options, size, valid)
    if cloud is None:
        cloud = np.zeros(size, bool)
        for window, found in detect_clouds(remover.detector, read, units, *size):
            cloud[window.slices] = found
    return CloudMask(lambda window: cloud[window.slices], *size, options.dilate, options.feather, valid)
