"""Pixels without data: which they are, what the network sees in their place, and that they come back as they were.

A nodata value that can be measured, such as 0 in 8-bit images, marks a pixel if *all* bands have it: dark water may be
0 in one of them. One that cannot, such as -9999, marks a pixel if *any* band has it, as NaN and the file's mask do: the
network has no complete input there. Such a pixel comes back unchanged in every band.
"""

from typing import Any

import numpy as np

from declouds.value_range import ValueRange, as_type

LARGEST = 1e38  # -3.4e38 is what a float32 raster holds where there is nothing, and often still does as float64


def as_stored(nodata: float | None, dtype: np.dtype) -> Any:
    """Return ``nodata`` as pixels of ``dtype`` hold it; None if no pixel can hold it, as -9999 in uint8."""
    if nodata is None or (np.issubdtype(dtype, np.floating) and np.isnan(nodata)):
        return None  # NaN never equals anything: `valid_pixels` finds it otherwise
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        if not (limits.min <= nodata <= limits.max and float(nodata).is_integer()):
            return None
        return dtype.type(int(nodata))
    with np.errstate(over="ignore"):  # beyond the type it becomes infinity, which is no data anyway
        return dtype.type(nodata)


def valid_pixels(
    values: np.ndarray, nodata: float | None, mask: np.ndarray | None = None, stored_range: ValueRange | None = None
) -> np.ndarray:
    """Tell which pixels have data, by the rule above.

    Args:
        values: as stored in the file. NaN, infinity and the largest numbers of a type, as GIS software writes them
            where there is nothing, are never data.
        nodata: the value that means "no data", if there is one.
        mask: 0 where the file's own mask says "no data".
        stored_range: the values as stored that can be measured; without it, none can.

    Shapes: values and mask (C, H, W) -> (H, W) bool.
    """
    valid = np.ones(values.shape[1:], bool)
    if np.issubdtype(values.dtype, np.floating):
        valid = (np.abs(values) < min(LARGEST, float(np.finfo(values.dtype).max))).all(0)  # false for NaN
    stored = as_stored(nodata, values.dtype)
    if stored is not None:
        measurable = stored_range is not None and stored_range.low <= stored <= stored_range.high
        valid &= (values != stored).any(0) if measurable else (values != stored).all(0)
    if mask is not None:
        valid &= (mask != 0).all(0)
    return valid


def is_opacity(values: np.ndarray) -> bool:
    """Tell whether a band marked as transparency holds that: most of its values above 0 are the largest one.

    Those of a measured band, such as near infrared, vary. By default GDAL marks the fourth band of every 8-bit
    GeoTIFF as alpha.
    """
    seen = values[values > 0]
    return seen.size == 0 or bool(2 * np.count_nonzero(seen == seen.max()) >= seen.size)


def fill_nodata(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Give each pixel without data the values of the nearest one with data, so that no dark edge misleads the network.

    Shapes: image (C, H, W), valid (H, W) with at least one True -> (C, H, W).
    """
    if valid.all():
        return image
    from scipy.ndimage import distance_transform_edt

    rows, cols = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return image[:, rows, cols]


def merge(
    original: np.ndarray, clear: np.ndarray, alpha: np.ndarray, value_range: ValueRange, nodata: float | None
) -> np.ndarray:
    """Return ``original`` where ``alpha`` is 0, ``clear`` in its type and units where it is 1, and between a mixture.

    A result that would count as nodata is moved to the next value of that type, towards the middle of the value range.

    Shapes: original and clear (C, H, W), alpha (H, W) in [0, 1], 0 where there are no data -> (C, H, W).
    Units: original and the result as stored, clear in [-1, 1].
    """
    return merge_stored(original, value_range.from_model(clear, "float64"), alpha, value_range, nodata)


def merge_stored(
    original: np.ndarray, clear: np.ndarray, alpha: np.ndarray, value_range: ValueRange, nodata: float | None
) -> np.ndarray:
    """Do the same with clear values as stored, which may lie out of the value range."""
    mixture = clear.astype(np.float64)
    partly = (alpha > 0) & (alpha < 1)
    mixture[:, partly] += (1 - alpha[partly].astype(np.float64)) * (original[:, partly] - mixture[:, partly])
    sensor = as_type(mixture, original.dtype)
    stored = as_stored(nodata, original.dtype)
    if stored is not None:
        middle = (value_range.low + value_range.high) / 2
        if np.issubdtype(original.dtype, np.integer):
            beside: Any = int(stored) + (1 if stored <= middle else -1)
        else:
            beside = np.nextafter(stored, original.dtype.type(middle))
        empty = sensor == stored
        if value_range.low <= stored <= value_range.high:
            empty &= empty.all(0)  # in some of the bands it is a measurement
        sensor[empty] = beside
    return np.where(alpha > 0, sensor, original)
