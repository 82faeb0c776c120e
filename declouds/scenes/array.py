"""An image in memory, cleared by the same passes as a file."""

import functools
from collections.abc import Collection

import numpy as np

from declouds.errors import UserError
from declouds.nodata import valid_pixels
from declouds.scenes.checks import check_nodata
from declouds.scenes.clear import Remover
from declouds.scenes.cleared_image import Tally, cleared_blocks, run_passes
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.cloud_mask import CloudMask, detect_clouds, range_seen
from declouds.scenes.sampling.image import Image, Read, samples
from declouds.scenes.sampling.loop import Progress
from declouds.scenes.sampling.mask_classes import MaskClasses
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.scene_range import check_given, find_range
from declouds.scenes.sampling.store import MemoryJob
from declouds.scenes.sampling.tiles import Window
from declouds.units import check_units, choose_units
from declouds.value_range import ValueRange

FOR_FILES = ("bands", "memory", "cog", "quality", "preview", "overwrite", "restart", "dates")


def clear_array(
    remover: Remover,
    image: np.ndarray,
    options: SceneOptions,
    progress: Progress | None = None,
    nodata: float | None = None,
    tags: Collection[tuple[float, float]] = ((1.0, 0.0),),
) -> np.ndarray:
    """Remove the clouds of an array.

    Args:
        remover: what to do.
        image: the cloudy image, as stored; what a masked array masks has no data.
        options: the user's choices; ``mask`` is an array here, or ``auto``.
        progress: called after every batch of windows.
        nodata: the image's own value for "no data", which the options override.
        tags: the image's own scale and offset of each band, which the options override.

    Shapes: (in_bands, H, W) -> (bands, H, W).

    Raises:
        UserError: the array is not an image, or has other bands or units than the model takes; or an option is for
            files.
    """
    _check(image, options, remover)
    units = choose_units("the array", tags, options.scale, options.offset, "scale and offset")
    missing = nodata if options.nodata is None else options.nodata
    options = options.with_mask(remover.value_range is None)
    pixels, masked = np.ma.getdata(image), np.ma.getmaskarray(image) if np.ma.isMaskedArray(image) else None

    def read(window: Window, stored: ValueRange | None = None) -> tuple[np.ndarray, np.ndarray]:
        part = (..., *window.slices)
        return pixels[part], valid_pixels(pixels[part], missing, None if masked is None else ~masked[part], stored)

    size = height, width = image.shape[-2], image.shape[-1]
    if remover.value_range is None:
        found = find_range("the array", read, *size, units, options.value_range)
        stored, reflectance = found.stored, found.reflectance
    else:
        check_given(options.value_range)
        stored = reflectance = units.stored(remover.value_range)
    read = functools.partial(read, stored=stored)
    if remover.value_range is not None:
        check_units("the array", samples(read, height, width), remover.value_range, units, remover.trained)
    mask = _mask(options, read, range_seen(remover.detector, stored, reflectance), size, remover)
    whole = Image(height, width, read, stored, missing, None if mask is None else mask.alpha)
    job, tally = MemoryJob(*size), Tally()
    run_passes(*(whole, remover.passes, remover.bands, job, options, tally, Ranks(), progress), device=remover.device)
    result = image[: remover.bands].copy()
    for block in cleared_blocks(whole, remover.bands, remover.passes, job, options, tally):
        np.ma.getdata(result)[..., *block.window.slices] = block.values
    if mask is not None and options.detects:
        tally.warn_of_nothing("the array")
    return result


def _check(image: np.ndarray, options: SceneOptions, remover: Remover) -> None:
    """Refuse what is not an image, and options that do not apply to arrays."""
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


def _mask(
    options: SceneOptions, read: Read, units: ValueRange, size: tuple[int, int], remover: Remover
) -> CloudMask | None:
    """Return the requested cloud mask."""
    if options.clears_all:
        return None
    if isinstance(options.mask, np.ndarray):
        if options.rule.bands:
            raise UserError(
                f"mask_kind = {options.mask_kind!r}: applies to files only: give an array that is 1 in cloud"
            )
        if options.mask.shape != size:
            raise UserError(f"mask: has shape {options.mask.shape}, the image {size}: give one of the image's size")
        classes, known = np.ma.getdata(options.mask), ~np.ma.getmaskarray(options.mask)
        known |= np.isin(classes, options.rule.values)  # as in files, where a class may be the nodata value too
        mask = MaskClasses(
            *("mask", lambda window: (classes[window.slices], known[window.slices]), *size, classes.dtype),
            rule=options.rule,
        )
        mask.warn("the array")
        cloud = mask(Window(0, 0, *size))
    elif options.detects:
        cloud = np.zeros(size, bool)
        for window, found in detect_clouds(remover.detector, read, units, *size):
            cloud[window.slices] = found
    else:
        raise UserError(f"mask = {str(options.mask)!r}: the mask of an array is an array, or 'auto'")
    return CloudMask(
        lambda window: cloud[window.slices], *size, options.dilate, options.feather, lambda window: read(window)[1]
    )
