"""Clear images for an adaptation: bands, value range, window size, what is held out, and which look cloudy."""

import hashlib
import itertools
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.coords import BoundingBox
from rasterio.errors import NotGeoreferencedWarning

from declouds.datamodules.clear_images import VISIBLE, Bands, clear_images, images_below, looks_cloudy
from declouds.datamodules.clouded_images import band_wavelengths
from declouds.datamodules.pairs import Pair, PairHeader, check_same_bands, natural_order, read_header, read_with_gaps
from declouds.errors import UserError, some
from declouds.image_io import image_header
from declouds.units import Units, choose_units
from declouds.value_range import ValueRange

SIZES = (128, 64, 32)  # of training windows, in pixels
HELD_OUT = 0.2  # of the places or, where there are fewer than `FEW`, of every image
FEW = 5
LOOKED_AT = 100  # images from which the value range is found
LOOK = 256  # side in pixels of what is read of each
DARKEST, BRIGHTEST = 0.1, 99.9  # percentiles
HEADROOM = 2.0  # thick clouds reflect about twice as much as bright ground
BRIGHTER, SPREAD, SHARE = 2.5, 0.35, 0.25  # cloud: so much brighter than the images are, so grey, over such a share

logger = logging.getLogger("declouds")


@dataclass(frozen=True)
class Choice:
    """What the user says of the images; see `declouds adapt --help`."""

    paths: tuple[Path, ...]
    bands: Bands | None = None
    wavelengths: tuple[float, ...] | None = None
    value_range: tuple[float, float] | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        datamodule: config of the data module `CloudedImages`, in which the part 'test' is held out.
        band_names: names of the bands.
        wavelengths: of the bands, in micrometres.
        images: number of images.
        held_out: what is held out, in words.
        value_range: the sensor values that map to -1 and 1, in words.
    """

    datamodule: dict[str, Any]
    band_names: tuple[str, ...]
    wavelengths: tuple[float, ...]
    images: int
    held_out: str
    value_range: str


def survey(choice: Choice, seed: int) -> Survey:
    """Look at the clear images, and choose how to train on them.

    Raises:
        UserError: a path that does not exist, no image, images that are too small, all cloudy or differ in bands or
            type, and bands without a wavelength.
    """
    for path in choice.paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder: give clear images, or folders of them")
        if path.is_dir():
            images_below([path])  # every folder must hold some
    bands = choice.bands or _names_by_wavelength(choice)
    images, names = clear_images(choice.paths, bands)
    wavelengths = band_wavelengths(names, choice.wavelengths)
    headers = [read_header(image) for image in images]
    check_same_bands(images, headers)
    held_out = _held_out_places(images, seed)
    size, share = _window(images, headers, strips=held_out is None)
    value_range, how = _look(choice, images, headers, wavelengths)
    datamodule = dict(
        type="CloudedImages",
        root=[str(path.absolute()) for path in choice.paths],
        bands=choice.bands or list(names),
        wavelengths=list(wavelengths),
        size=size,
        strips=held_out is None,
        split=_split(images, held_out),
        val=None,
        test=share if held_out is None else None,
        other_sensors=0.5,
        coarser=0.0,
        seed=seed,
        value_range=[value_range.low, value_range.high],
        scale=choice.scale,
        offset=choice.offset,
    )
    what = f"a strip of {share:.0%} of each image" if held_out is None else f"{len(held_out)} of {len(images)} images"
    return Survey(datamodule, names, wavelengths, len(images), what, f"{value_range} ({how})")


def _names_by_wavelength(choice: Choice) -> tuple[str, ...] | None:
    """Name bands by the given wavelengths, where the files do not name them."""
    if choice.wavelengths is None:
        return None
    found = images_below(choice.paths)
    header = image_header(found[min(found, key=natural_order)])
    named = all(header.names[band - 1] for band in header.image_bands)
    return None if named else tuple(f"{wavelength:g}um" for wavelength in choice.wavelengths)


def _split(images: Sequence[Pair], held_out: set[str] | None) -> dict[str, list[str]] | None:
    if held_out is None:
        return None
    names = [image.name for image in images]
    return dict(
        train=[name for name in names if name not in held_out], test=[name for name in names if name in held_out]
    )


def _held_out_places(images: Sequence[Pair], seed: int) -> set[str] | None:
    """Return the images of a share of the places, chosen by a hash; None if the places are few."""
    places = places_of([image.clear[0].path for image in images])
    if len(places) < FEW:
        return None
    named = [sorted(images[index].name for index in place) for place in places]
    ordered = sorted(named, key=lambda names: hashlib.sha256(f"{seed}:{names[0]}".encode()).digest())
    return {name for names in ordered[: max(1, round(HELD_OUT * len(places)))] for name in names}


def places_of(paths: Sequence[Path]) -> list[list[int]]:
    """Group images by place: those whose bounds overlap in one reference system; others have a place each."""
    places: list[tuple[list[int], list[tuple[str, BoundingBox]]]] = []
    for index, path in enumerate(paths):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as image:
                own = [] if image.crs is None else [(image.crs.to_string(), image.bounds)]
        near = [place for place in places if any(_overlap(a, b) for a in place[1] for b in own)]
        places = [place for place in places if place not in near]
        places.append(
            ([index, *(number for place in near for number in place[0])], own + [b for place in near for b in place[1]])
        )
    return [sorted(numbers) for numbers, _ in places]


def _overlap(a: tuple[str, BoundingBox], b: tuple[str, BoundingBox]) -> bool:
    (crs, one), (other_crs, other) = a, b
    apart = (
        max(one.left, other.left) >= min(one.right, other.right)
        or max(one.bottom, other.bottom) >= min(one.top, other.top)
    )  # fmt: skip
    return crs == other_crs and not apart


def _window(images: Sequence[Pair], headers: Sequence[PairHeader], strips: bool) -> tuple[int, float]:
    """Return the side of a window and the share of a strip that holds one, at most a quarter of an image.

    Raises:
        UserError: an image is too small.
    """
    shortest = min(range(len(images)), key=lambda index: min(headers[index].height, headers[index].width))
    least = min(headers[shortest].height, headers[shortest].width)
    length = min(max(header.height, header.width) for header in headers)
    for size in SIZES:
        if size <= least and (not strips or 4 * size <= length):
            return size, max(HELD_OUT, size / length)
    path, header = images[shortest].clear[0].path, headers[shortest]
    needed = f"{SIZES[-1]}x{4 * SIZES[-1]}" if strips else f"{SIZES[-1]}x{SIZES[-1]}"
    why = f" where there are images of fewer than {FEW} places, since a strip of each is held out" if strips else ""
    raise UserError(
        f"{path}: {header.height}x{header.width} pixels are too few: give images of at least {needed} pixels{why}"
    )


def _look(
    choice: Choice, images: Sequence[Pair], headers: Sequence[PairHeader], wavelengths: Sequence[float]
) -> tuple[ValueRange, str]:
    """Return the value range and where it comes from, and warn of images that look cloudy.

    Raises:
        UserError: all look cloudy, or hold a single value.
    """
    tags = frozenset().union(*(header.units for header in headers))
    units = choose_units(images[0].clear[0].path, tags, choice.scale, choice.offset)
    chosen = np.unique(np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).astype(int))
    looks = {images[index].name: _pixels(images[index], headers[index], units) for index in chosen}
    looks = {name: values for name, values in looks.items() if values.size}
    cloudy = cloudier(looks, wavelengths)
    known, how = _known_range(choice, headers[0].dtype, units)
    if known is None:
        clear = [values for name, values in looks.items() if name not in cloudy]
        known, how = _range_of(clear, headers[0].dtype, units), "found from the images; --value-range sets another"
    scaled = {name: (known.to_model(values) + 1) / 2 for name, values in looks.items()}
    white = [name for name, values in scaled.items() if looks_cloudy(values[:, None], wavelengths)]
    if len({*cloudy, *white}) == len(looks):
        raise UserError(f"all images look cloudy: {some(white or cloudy)}: give clear ones, or the right --value-range")
    if cloudy := [name for name in cloudy if name not in white]:  # of white ones the data module warns
        logger.warning(
            "%d of %d images look cloudy or snowy: %s: leave out what is cloudy, or the model learns to keep it",
            len(cloudy),
            len(looks),
            some(cloudy, 10),
        )
    return known, how


def _pixels(image: Pair, header: PairHeader, units: Units) -> np.ndarray:
    """Return the valid pixels of the middle or, of a large image, of nine places, in sensor units. Shapes: (C, N)."""
    sizes = (header.height, header.width)
    sides = [min(LOOK, size) for size in sizes]
    fractions = (0.15, 0.5, 0.85) if min(sizes) > 3 * LOOK else (0.5,)
    parts = []
    for row, column in itertools.product(fractions, fractions):
        top, left = (int(at * (size - side)) for at, size, side in zip((row, column), sizes, sides, strict=True))
        values, valid = read_with_gaps(image.clear, place=(top, left, sides[0], sides[1]))
        parts.append(values[:, valid].astype(np.float32) * units.scale + units.offset)
    return np.concatenate(parts, 1)


def cloudier(looks: dict[str, np.ndarray], wavelengths: Sequence[float]) -> list[str]:
    """Return the names of images a quarter of which is grey, and far brighter in the visible than the others.

    Shapes: looks: name -> (C, N) in sensor units.
    """
    visible = np.flatnonzero(np.asarray(wavelengths) < VISIBLE)
    if len(visible) < 2 or len(looks) < 3:
        return []
    seen = {name: values[visible] for name, values in looks.items()}
    usual = float(np.median([np.median(values.min(0)) for values in seen.values()]))
    found = []
    for name, values in seen.items():
        grey = np.ptp(values, axis=0) < SPREAD * values.max(0)
        if np.mean(grey & (values.min(0) > BRIGHTER * usual)) > SHARE:
            found.append(name)
    return found


def _known_range(choice: Choice, dtype: str, units: Units) -> tuple[ValueRange | None, str]:
    if choice.value_range is not None:
        return ValueRange(*choice.value_range), "given"
    if dtype == "uint8" and not units.origin:
        return ValueRange.of_dtype(dtype), "8-bit images"
    return None, ""


def _range_of(looks: Sequence[np.ndarray], dtype: str, units: Units) -> ValueRange:
    """Return from the darkest value (0 if that is near) to twice the brightest, of clear pixels, by percentiles.

    Raises:
        UserError: the images hold no data, or a single value.
    """
    if not looks:
        raise UserError("no image has valid pixels in the places looked at: give images with data")
    low, high = np.percentile(np.concatenate([values.ravel() for values in looks]), [DARKEST, BRIGHTEST])
    if not high > low:
        raise UserError(f"the images hold a single value ({low:g}): give clear images")
    low = 0.0 if 0 <= low < high / 4 else low
    top = low + HEADROOM * (high - low)
    if np.issubdtype(np.dtype(dtype), np.integer):
        top = min(top, np.iinfo(dtype).max * units.scale + units.offset)
    return ValueRange(float(f"{low:.2g}"), float(f"{top:.2g}"))
