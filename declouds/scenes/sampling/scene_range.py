"""The range of a scene's values, found in the scene itself: for models that were trained on images in any units."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from declouds.errors import UserError
from declouds.scenes.sampling.image import Read
from declouds.scenes.sampling.tiles import Window
from declouds.units import Units
from declouds.value_range import ValueRange

PERCENTILES = (0.1, 99.9)
MARGIN = 0.02  # of the span between them, added on both sides
GRID, SIDE = 16, 64  # windows looked at along each axis, and their pixels
FEW = 4096  # valid pixels in them: with fewer, the whole scene is looked at
MOST = 2**22  # pixels kept of a whole scene
LEVELS = 8  # steps of an integer type that a scene spans at least
FULL_SCALES = (1.0, 255.0, 10_000.0)  # stored values of reflectance 1: fractions, 8 bits, ten-thousandths
SENTINEL2_ZERO = 1000.0  # stored value of reflectance 0 since processing baseline 04.00
COUNTS = 5000.0  # no reflectance is stored with a larger offset, so what begins above are counts
LANDSAT_FULL = 1 / 2.75e-5  # counts of Landsat Collection 2 from reflectance 0 to 1
BRIGHTEST = 2.0  # reflectance of what may be a scene


@dataclass(frozen=True)
class SceneRange:
    """What the values of a scene stand for.

    Args:
        stored: stored values that stand for -1 and 1 to the model.
        reflectance: stored values of reflectance 0 and 1, as far as the scene lets it be known, for cloud detectors.
    """

    stored: ValueRange
    reflectance: ValueRange


def find_range(
    source: Path | str, read: Read, height: int, width: int, units: Units, given: tuple[float, float] | None = None
) -> SceneRange:
    """Find the range of a scene by the 0.1st and the 99.9th percentile of all its bands together.

    Bands are not stretched apart, which would shift colours. 2 % of the span is added on both sides. The low end is
    where there is no light, as far as that is known, since a scene that is hazy everywhere would lose its haze before
    the model sees it: reflectance 0 if the units are known, and 0 in 8 bits and in fractions. Of other values a low
    percentile of 1000 to 5000 has Sentinel-2's offset since processing baseline 04.00, 1000; above 5000 are counts
    with an offset of their own (Landsat), which begin at their low percentile. 8 bits are 0 to 255, unless
    nearly all are below a third of that. Pixels that are 0 in every band are taken for borders and left out.

    The percentiles are those of the whole scene up to 1024 x 1024 pixels, and of 256 windows of fixed places above
    that: a scene always gets the same range, and memory does not grow with it.

    Args:
        source: the scene, for messages.
        read: gives any rectangle: values as stored, and which pixels have data.
        height: rows.
        width: columns.
        units: of the stored values.
        given: the range, where the user knows it.

    Units: as stored.

    Raises:
        UserError: no pixel has data; the values are nearly constant, as at night; or most are negative.
    """
    sample = _sample(read, height, width)
    if sample.size == 0:
        raise UserError(
            f"{source}: has no pixel with data (0 in every band counts as none): check its nodata value (--nodata)"
        )
    low, middle, high = map(float, np.percentile(sample, [PERCENTILES[0], 50, PERCENTILES[1]]))
    if given is not None:
        return _both(*given)
    least = LEVELS if sample.dtype.kind in "iu" else 1e-3 * max(abs(low), abs(high))
    if high - low <= least:
        raise UserError(
            f"{source}: its values are nearly constant ({low:g} to {high:g}), as at night or where there is no image: "
            "give a scene taken in daylight, or say which values are dark and bright (--value-range LOW,HIGH)"
        )
    if units.scale * middle + units.offset < 0:
        raise UserError(
            f"{source}: most of its values are negative ({low:g} to {high:g}), as those of radar in decibels or of "
            "elevations are, and light is not: give an optical image"
        )
    return _range_of(low, high, sample.dtype, units)


def check_given(given: tuple[float, float] | None) -> None:
    """Refuse a range for a model that has its own.

    Raises:
        UserError: as said.
    """
    if given is not None:
        raise UserError(
            f"value_range = {given}: this model knows the units of its images: say those of the scene with --scale and "
            "--offset"
        )


def _both(low: float, high: float) -> SceneRange:
    return SceneRange(ValueRange(low, high), ValueRange(low, high))


def _range_of(low: float, high: float, dtype: np.dtype, units: Units) -> SceneRange:
    """Return the range of a scene by its low and its high percentile."""
    zero = 0.0 - units.offset / units.scale
    known = bool(units.origin) and units.scale * high + units.offset <= BRIGHTEST
    eight_bits = dtype == np.uint8 and not known
    if eight_bits and high >= 255 / 3:
        return _both(0, 255)
    margin = MARGIN * (high - low)
    if low < zero:
        bottom = low - margin
    elif units.origin or eight_bits or low < SENTINEL2_ZERO:
        bottom = zero
    else:
        bottom = SENTINEL2_ZERO if low <= COUNTS else low - margin
    top = high + margin
    if dtype.kind in "iu":  # no pixel can hold more
        bottom, top = max(bottom, np.iinfo(dtype).min), min(top, np.iinfo(dtype).max)
    stored = ValueRange(float(f"{bottom:.6g}"), float(f"{top:.6g}"))
    if known:
        return SceneRange(stored, units.stored(ValueRange(0, 1)))
    if eight_bits:
        return SceneRange(stored, ValueRange(0, 255))
    span = stored.high - stored.low
    if low > COUNTS:
        return SceneRange(stored, ValueRange(stored.low, max(stored.high, stored.low + LANDSAT_FULL)))
    full = next((full for full in FULL_SCALES if full / 10 < span <= BRIGHTEST * full), span)
    return SceneRange(stored, ValueRange(stored.low, stored.low + full))


def places(height: int, width: int) -> list[Window]:
    """Return the windows of a scene that its range is found in: fixed places all over it, or all of a small one."""
    if height <= GRID * SIDE and width <= GRID * SIDE:
        return [Window(0, 0, height, width)]
    rows, cols = min(SIDE, height), min(SIDE, width)
    return [Window(row, col, rows, cols) for row, col in product(_starts(height, rows), _starts(width, cols))]


def _sample(read: Read, height: int, width: int) -> np.ndarray:
    """Return valid values of fixed places all over a scene, or of all of a small one. Shapes: (C, n)."""
    windows = places(height, width)
    sample = np.concatenate([_values(*read(window)) for window in windows], axis=1)
    if len(windows) == 1 or sample.shape[1] >= FEW:
        return sample
    step = -(-height * width // MOST)  # data in a few places: all of it, every so many pixels in a huge scene
    blocks = product(range(0, height, 256), range(0, width, 2048))
    found = [
        _values(*read(Window(row, col, min(256, height - row), min(2048, width - col))))[:, ::step]
        for row, col in blocks
    ]
    return np.concatenate(found, axis=1)


def _starts(size: int, side: int) -> list[int]:
    """Return where windows begin, spread over an axis."""
    count = min(GRID, -(-size // side))
    return [(size - side) * place // max(count - 1, 1) for place in range(count)]


def _values(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the values of pixels that have data and are not 0 in every band. Shapes: (C, h, w), (h, w) -> (C, n)."""
    return values[:, valid & (values != 0).any(0)]
