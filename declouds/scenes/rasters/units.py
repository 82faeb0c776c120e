"""The units of a scene: what its stored values mean, and whether a model was trained on such values."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.sampling.image import Read
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import Units, ValueRange

SAMPLES = 5  # small windows looked at along each axis
SAMPLE_SIZE = 64
# Between numbers of the same quantity: fractions, 8 bits, and ten-thousandths.
USUAL_FACTORS = (1.0, 1e4, 1e-4, 255.0, 1 / 255)
SENTINEL2_OFFSET = -1000  # stored values since processing baseline 04.00 are that much too high
WIDE = 1000  # a range of more steps than that is not one of 8 bits

_log = logging.getLogger("declouds")


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
    source: Path | str, read: Read, height: int, width: int, value_range: ValueRange, units: Units
) -> None:
    """Look at samples all over an image, and refuse a type or values that are plainly in other units than the model's.

    An integer type must hold the whole range, and the range at least 16 steps (0..1 is for fractions). Where the units
    are unknown, 0..255 goes with uint8 alone. Floating point goes with everything else. A warning names the bands that
    hold a single value, and integers so dark that hardly anything can be seen.

    Raises:
        UserError: the type is another; or 99 % of the values are out of the value range; or they lie within 1/1000 of
            its low end, as reflectances of 0 to 1 do for a model that knows 0 to 10000 (integers of unknown units may
            be that dark); or their units are unknown and they look like 8 bits to a model of a much wider range.
    """
    grid = [(y, x) for y in range(SAMPLES) for x in range(SAMPLES)]
    sample = np.concatenate([_sample(read, y, x, height, width) for y, x in grid], axis=1)
    _check_type(source, sample, value_range, units)
    if sample.size == 0:
        return
    stored = units.stored(value_range)
    span = stored.high - stored.low
    outside = np.mean((sample < stored.low) | (sample > stored.high))
    dark = sample.max() <= stored.low + span / 1000
    may_be_dark = np.issubdtype(sample.dtype, np.integer) and not units.origin
    if outside >= 0.99 or (dark and not may_be_dark):
        meant = f", which stand for {_span(_meant(sample, units))} ({units})," if units.origin else ""
        raise UserError(
            f"{source}: its values ({_span(sample)}){meant} are not in the units the model was trained on "
            f"({value_range}): {_advice(sample, value_range, units)}rescale the scene, or choose a model for its units"
        )
    if not units.origin and span > WIDE and 0 <= sample.min() and 100 < sample.max() <= 255:
        raise UserError(
            f"{source}: its values ({_span(sample)}) look like those of an 8-bit picture, and the model was trained on "
            f"{value_range}: give the scene as it was before it was turned into 8 bits, or choose a model for 8-bit "
            "images; if the scene really is that dark, say so with --scale 1"
        )
    if dark:
        _log.warning("%s: its values (%s) are at the dark end of the model's %s", source, _span(sample), value_range)
    constant = [band for band, values in enumerate(sample, 1) if values.size > 1 and values.min() == values.max()]
    if constant:
        _log.warning(
            "%s: %s of the model's input holds the value %g alone wherever it was sampled: is it empty?",
            source,
            f"band {constant[0]}" if len(constant) == 1 else f"each of the bands {', '.join(map(str, constant))}",
            sample[constant[0] - 1].flat[0],
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
        told = f", which would be {units.stored(value_range)} as stored here ({units})"
        if sample.size:
            told += f"; the scene has {_span(sample)}"
    kind = "uint8" if value_range == ValueRange.of_dtype("uint8") else "those units"
    raise UserError(
        f"{source}: is {sample.dtype.name}, and the model was trained on values {value_range}{told}: "
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
    if sample.size == 0:
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
    """Return the valid values of one small window of the grid of samples. Shapes: (C, n)."""
    rows, cols = min(SAMPLE_SIZE, height), min(SAMPLE_SIZE, width)
    top, left = (height - rows) * y // (SAMPLES - 1), (width - cols) * x // (SAMPLES - 1)
    values, valid = read(Window(top, left, rows, cols))
    return values[:, valid]


def _meant(sample: np.ndarray, units: Units) -> np.ndarray:
    """Return stored values as model values."""
    return sample.astype(np.float64) * units.scale + units.offset


def _span(values: np.ndarray) -> str:
    """Return the lowest and the highest value as text."""
    return f"{values.min():g} to {values.max():g}"
