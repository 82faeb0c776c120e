"""The units of a scene: what its stored values mean, and whether that goes with what a model was trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.rasters.scene_file import read_window
from declouds.scenes.sampling.image import Read
from declouds.scenes.sampling.nodata import valid_pixels
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange

SAMPLES = 5  # small windows looked at along each axis
SAMPLE_SIZE = 64
# Between numbers of the same quantity: fractions, 8 bits, and ten-thousandths.
USUAL_FACTORS = (1.0, 1e4, 1e-4, 255.0, 1 / 255)
SENTINEL2_OFFSET = -1000  # stored values since processing baseline 04.00 are that much too high


@dataclass(frozen=True)
class Units:
    """Model value = stored value * ``scale`` + ``offset``.

    Args:
        scale: greater than 0.
        offset: see above.
        origin: who says so; nobody, if empty: then stored values are taken for model values.
        tags: scale and offset that the file itself tells.
    """

    scale: float = 1.0
    offset: float = 0.0
    origin: str = ""
    tags: tuple[float, float] = (1.0, 0.0)

    def stored(self, value_range: ValueRange) -> ValueRange:
        """Return a range of model values as stored values.

        Raises:
            UserError: there are none.
        """
        if (self.scale, self.offset) == (1, 0):
            return value_range
        low, high = ((value - self.offset) / self.scale for value in (value_range.low, value_range.high))
        if not -math.inf < low < high < math.inf:
            raise UserError(
                f"scale = {self.scale:g}, offset = {self.offset:g}, by {self.origin}: no stored values stand for the "
                f"model's {_span(value_range)}: give --scale and --offset"
            )
        # Of a limit such as 1000.0000000000001, no integer type could hold the last digit.
        digits = 12 - int(np.ceil(np.log10(high - low)))
        return ValueRange(round(low, digits), round(high, digits))

    def __str__(self) -> str:
        return f"stored * {self.scale:g} {'-' if self.offset < 0 else '+'} {abs(self.offset):g}, by {self.origin}"


def stored_range(
    scene: DatasetReader,
    indexes: Sequence[int],
    value_range: ValueRange,
    scale: float | None,
    offset: float | None,
    source: Path | str,
    nodata: float | None = None,
) -> ValueRange:
    """Return the model's range as the scene stores it, once type and values were found to go with it.

    Args:
        scene: the open file.
        indexes: numbers of the bands that the model takes.
        value_range: what the model was trained on.
        scale: see `find_units`.
        offset: as there.
        source: the path, for messages.
        nodata: the value that means "no data", in place of the file's own.

    Raises:
        UserError: see `find_units` and `check_values`.
    """
    units = find_units(scene, indexes, scale, offset, source)
    missing = scene.nodatavals[indexes[0] - 1] if nodata is None else nodata

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        values, masks = read_window(scene, window, indexes, source)
        return values, valid_pixels(values, missing, masks)

    check_values(source, read, scene.height, scene.width, value_range, units)
    return units.stored(value_range)


def find_units(
    scene: DatasetReader, indexes: Sequence[int], scale: float | None, offset: float | None, source: Path | str
) -> Units:
    """Return the units of some bands: as given, else by the file's own scale and offset, else none.

    If one of ``scale`` and ``offset`` is given, the other is 1 or 0, whatever the file says.

    Raises:
        UserError: the scale is not above 0, either is no number, or nothing is given and the bands differ.
    """
    own: set[tuple[float, float]] = {(scene.scales[index - 1], scene.offsets[index - 1]) for index in indexes}
    tags = min(own) if len(own) == 1 else (1.0, 0.0)
    given = scale is not None or offset is not None
    if given:
        units = Units(1.0 if scale is None else scale, offset or 0.0, "--scale and --offset", tags)
    elif len(own) > 1:
        raise UserError(
            f"{source}: its bands differ in scale and offset ({', '.join(f'{s:g} {o:g}' for s, o in sorted(own))}), "
            "and the model takes one: convert them to one first, or say --scale and --offset for all"
        )
    else:
        units = Units(tags[0], tags[1], "" if tags == (1, 0) else "the file's own scale and offset", tags)
    if not (np.isfinite(units.offset) and 0 < units.scale < np.inf):
        raise UserError(
            f"{source}: scale = {units.scale:g}, offset = {units.offset:g}, by {units.origin}: a scale is a number "
            "above 0, and an offset a number: " + ("correct them" if given else "give --scale and --offset")
        )
    return units


def check_values(
    source: Path | str, read: Read, height: int, width: int, value_range: ValueRange, units: Units = Units()
) -> None:
    """Look at samples all over an image, and refuse a type or values that are plainly in other units than the model's.

    An integer type must hold the whole range, and the range at least 16 steps (0..1 is for fractions). Where nobody
    told the units, 0..255 goes with uint8 alone. Floating point goes with everything else.

    Raises:
        UserError: the type is another; or 99 % of the values are out of the value range; or they lie within 1/1000 of
            its low end, as reflectances of 0 to 1 do for a model that knows 0 to 10000 (integers of units that nobody
            told may be that dark).
    """
    grid = [(y, x) for y in range(SAMPLES) for x in range(SAMPLES)]
    sample = np.concatenate([_sample(read, y, x, height, width) for y, x in grid])
    _check_type(source, sample, value_range, units)
    if len(sample) == 0:
        return
    stored = units.stored(value_range)
    outside = np.mean((sample < stored.low) | (sample > stored.high))
    may_be_dark = np.issubdtype(sample.dtype, np.integer) and not units.origin
    if outside >= 0.99 or (sample.max() <= stored.low + (stored.high - stored.low) / 1000 and not may_be_dark):
        meant = f", which stand for {_span(_meant(sample, units))} ({units})," if units.origin else ""
        raise UserError(
            f"{source}: its values ({_span(sample)}){meant} are not in the units the model was trained on "
            f"({_span(value_range)}): {_advice(sample, value_range, units)}rescale the scene, or choose a model for "
            "its units"
        )


def _check_type(source: Path | str, sample: np.ndarray, value_range: ValueRange, units: Units) -> None:
    """Refuse a type that does not go with the model's value range.

    Raises:
        UserError: as said.
    """
    if _type_fits(sample.dtype, value_range, units):
        return
    told = ""
    if units.origin:
        told = f", which would be {_span(units.stored(value_range))} as stored here ({units})"
        if len(sample):
            told += f"; the scene has {_span(sample)}"
    kind = "uint8" if value_range == ValueRange.of_dtype("uint8") else "those units"
    raise UserError(
        f"{source}: is {sample.dtype.name}, and the model was trained on values {_span(value_range)}{told}: "
        f"{_advice(sample, value_range, units)}convert the scene to {kind} as the training images were, or use a model "
        "for its units"
    )


def _type_fits(dtype: np.dtype, value_range: ValueRange, units: Units) -> bool:
    """Tell whether pixels of a type can be what the model was trained on."""
    stored = units.stored(value_range)
    if not units.origin and value_range == ValueRange.of_dtype("uint8"):
        return dtype == np.uint8
    if np.issubdtype(dtype, np.floating):
        return True
    limits = np.iinfo(dtype)
    return limits.min <= stored.low and stored.high <= limits.max and stored.high - stored.low >= 16


def _advice(sample: np.ndarray, value_range: ValueRange, units: Units) -> str:
    """Return the usual scale and offset by which the values would fit, if there are any; they are not taken unasked."""
    if len(sample) == 0:
        return ""
    middle, bright = np.percentile(sample, [50, 99])
    for factor in USUAL_FACTORS:
        scale, offset = units.tags[0] * factor, units.tags[1] * factor
        usual = Units(float(f"{scale:.6g}"), float(f"{offset:.6g}"), "--scale and --offset")
        if (usual.scale, usual.offset) == (units.scale, units.offset) and units.origin:
            continue
        if not 0 < usual.scale < np.inf or not _type_fits(sample.dtype, value_range, usual):
            continue
        stored = usual.stored(value_range)
        if stored.low <= middle <= stored.high and bright >= stored.low + (stored.high - stored.low) / 100:
            later = ""
            if offset == 0 and sample.dtype == np.uint16 and sample.min() >= -SENTINEL2_OFFSET:
                later = f" (or --offset {SENTINEL2_OFFSET * usual.scale:g}: Sentinel-2 since baseline 04.00)"
            return f"--scale {usual.scale:g} --offset {usual.offset:g} would fit{later}; if that is not what they are, "
    return ""


def _sample(read: Read, y: int, x: int, height: int, width: int) -> np.ndarray:
    """Return the valid values of one small window of the grid of samples."""
    rows, cols = min(SAMPLE_SIZE, height), min(SAMPLE_SIZE, width)
    top, left = (height - rows) * y // (SAMPLES - 1), (width - cols) * x // (SAMPLES - 1)
    values, valid = read(Window(top, left, rows, cols))
    return values[:, valid].ravel()


def _meant(sample: np.ndarray, units: Units) -> np.ndarray:
    """Return stored values as model values."""
    return sample.astype(np.float64) * units.scale + units.offset


def _span(values: np.ndarray | ValueRange) -> str:
    """Return the least and the greatest value, in words."""
    low, high = (values.low, values.high) if isinstance(values, ValueRange) else (values.min(), values.max())
    return f"{low:g} to {high:g}"
