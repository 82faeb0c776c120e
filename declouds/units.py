"""Units of images: what stored values mean, and whether a model was trained on such values."""

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.value_range import ValueRange

# Between numbers of the same quantity: fractions, 8 bits, and ten-thousandths.
USUAL_FACTORS = (1.0, 1e4, 1e-4, 255.0, 1 / 255)
SENTINEL2_OFFSET = -1000  # stored values since processing baseline 04.00 are that much too high
WIDE = 1000  # a range of more steps than that is not one of 8 bits

_log = logging.getLogger("declouds")


@dataclass(frozen=True)
class Units:
    """Model value = stored value * ``scale`` + ``offset``.

    Args:
        scale: greater than 0.
        offset: see above.
        origin: where they come from, for messages; if empty, they are unknown, and stored values are taken for model
            values.
        tags: the scale and offset in the file itself.
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
                f"model's {value_range}: give --scale and --offset"
            )
        # Of a limit such as 1000.0000000000001, no integer type could hold the last digit.
        digits = 12 - int(np.ceil(np.log10(high - low)))
        return ValueRange(round(low, digits), round(high, digits))

    def meaning(self, values: np.ndarray) -> str:
        """Return what stored values stand for, to be put into a sentence; empty if the units are unknown."""
        if not self.origin:
            return ""
        return f", which stand for {_span(values.astype(np.float64) * self.scale + self.offset)} ({self}),"

    def __str__(self) -> str:
        return f"stored * {self.scale:g} {'-' if self.offset < 0 else '+'} {abs(self.offset):g}, by {self.origin}"


def choose_units(
    source: Path | str,
    tags: Collection[tuple[float, float]],
    scale: float | None,
    offset: float | None,
    options: str = "--scale and --offset",
) -> Units:
    """Return the units of some bands: as given, else by the file's own scale and offset, else unknown ones.

    If one of ``scale`` and ``offset`` is given, the other is 1 or 0, whatever the file says.

    Args:
        source: the image, for messages.
        tags: scale and offset of each band as its file has them.
        scale: given by the user.
        offset: likewise.
        options: how a user gives them, for messages.

    Raises:
        UserError: the scale is not above 0, either is not a number, or nothing is given and the bands differ.
    """
    own = sorted(set(tags))
    first = own[0] if len(own) == 1 else (1.0, 0.0)
    given = scale is not None or offset is not None
    if given:
        units = Units(1.0 if scale is None else scale, offset or 0.0, options, first)
    elif len(own) > 1:
        raise UserError(
            f"{source}: its bands differ in scale and offset ({', '.join(f'{s:g} {o:g}' for s, o in own)}), and the "
            f"model takes one: convert them to one first, or say {options} for all"
        )
    else:
        units = Units(*first, "" if first == (1, 0) else "the file's own scale and offset", first)
    if not (math.isfinite(units.offset) and 0 < units.scale < math.inf):
        raise UserError(
            f"{source}: scale = {units.scale:g}, offset = {units.offset:g}, by {units.origin}: a scale is a number "
            "above 0, and an offset a number: " + ("correct them" if given else f"give {options}")
        )
    return units


def recorded_units(record: Mapping[str, Any] | None) -> Units | None:
    """Return the units of the images that a model was trained on, by its record; None if that does not say."""
    match (record or {}).get("units"):
        case {"scale": int() | float() as scale, "offset": int() | float() as offset}:
            known = 0 < scale < math.inf and math.isfinite(offset)
            return Units(scale, offset, "the training images") if known else None
    return None


def check_units(
    source: Path | str, sample: np.ndarray, value_range: ValueRange, units: Units, trained: Units | None = None
) -> None:
    """Refuse a type or values that are plainly in other units than the model's.

    An integer type must hold the whole range, and the range at least 16 steps (0..1 is for fractions). Where the units
    are unknown, 0..255 goes with uint8 alone. Floating point goes with everything else. A warning names the bands that
    hold a single value, and integers so dark that hardly anything can be seen.

    Args:
        source: the image, for messages.
        sample: values as stored, of pixels that have data.
        value_range: what the model was trained on.
        units: of the stored values.
        trained: of the training images, for advice.

    Shapes: sample (C, n).

    Raises:
        UserError: the type is another; or 99 % of the values are out of the value range; or they lie within 1/1000 of
            its low end, as reflectances of 0 to 1 do for a model that knows 0 to 10000 (integers of unknown units may
            be that dark); or their units are unknown and they look like 8 bits to a model of a much wider range.
    """
    _check_type(source, sample, value_range, units, trained)
    if sample.size == 0:
        return
    stored = units.stored(value_range)
    dark = is_dark(sample, stored)
    may_be_dark = np.issubdtype(sample.dtype, np.integer) and not units.origin
    if is_outside(sample, stored) or (dark and not may_be_dark):
        raise UserError(
            f"{source}: its values ({_span(sample)}){units.meaning(sample)} are not in the units the model was trained "
            f"on ({value_range}): {_advice(sample, value_range, units, trained)}rescale the scene, or choose a model "
            "for its units"
        )
    wide = stored.high - stored.low > WIDE
    if not units.origin and wide and sample.min() >= 0 and 100 < sample.max() <= 255:
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
            "%s: %s of the model's input holds only the value %g in every sample: is it empty?",
            source,
            f"band {constant[0]}" if len(constant) == 1 else f"each of the bands {', '.join(map(str, constant))}",
            sample[constant[0] - 1].flat[0],
        )


def is_outside(values: np.ndarray, stored: ValueRange) -> bool:
    """Tell whether 99 % of the values, or more, lie outside a range."""
    return bool(np.mean((values < stored.low) | (values > stored.high)) >= 0.99)


def is_dark(values: np.ndarray, stored: ValueRange) -> bool:
    """Tell whether all values are within 1/1000 of the low end of a range, or below."""
    return bool(values.max() <= stored.low + (stored.high - stored.low) / 1000)


def _check_type(
    source: Path | str, sample: np.ndarray, value_range: ValueRange, units: Units, trained: Units | None
) -> None:
    """Refuse a type that does not go with the model's value range.

    Raises:
        UserError: as said.
    """
    if _type_fits(sample.dtype, value_range, units):
        return
    expected = ""
    if units.origin:
        expected = f", which would be {units.stored(value_range)} as stored here ({units})"
        if sample.size:
            expected += f"; the scene has {_span(sample)}"
    kind = "uint8" if value_range == ValueRange.of_dtype("uint8") else "those units"
    raise UserError(
        f"{source}: is {sample.dtype.name}, and the model was trained on values {value_range}{expected}: "
        f"{_advice(sample, value_range, units, trained)}convert the scene to {kind} as the training images were, "
        "or use a model for its units"
    )


def _type_fits(dtype: np.dtype, value_range: ValueRange, units: Units) -> bool:
    """Tell whether pixels of a type can be what the model was trained on."""
    stored = units.stored(value_range)
    if not units.origin and value_range == ValueRange.of_dtype("uint8"):
        return dtype == np.uint8
    return can_hold(dtype, stored)


def can_hold(dtype: np.dtype, stored: ValueRange) -> bool:
    """Tell whether pixels of a type can have all values of a range, in 16 steps at least."""
    if np.issubdtype(dtype, np.floating):
        return True
    limits = np.iinfo(dtype)
    return limits.min <= stored.low and stored.high <= limits.max and stored.high - stored.low >= 16


def _advice(sample: np.ndarray, value_range: ValueRange, units: Units, trained: Units | None) -> str:
    """Return a scale and offset by which the values would fit, if there are any; they are not taken unasked.

    Those of the training images come first, then the usual ones.
    """
    if sample.size == 0:
        return ""
    middle, bright = np.percentile(sample, [50, 99])
    usual = [Units(units.tags[0] * factor, units.tags[1] * factor) for factor in USUAL_FACTORS]
    for choice in [trained, *usual] if trained else usual:
        fitting = Units(float(f"{choice.scale:.6g}"), float(f"{choice.offset:.6g}"), "--scale and --offset")
        if (fitting.scale, fitting.offset) == (units.scale, units.offset) and units.origin:
            continue
        if not 0 < fitting.scale < np.inf or not _type_fits(sample.dtype, value_range, fitting):
            continue
        stored = fitting.stored(value_range)
        if stored.low <= middle <= stored.high and bright >= stored.low + (stored.high - stored.low) / 100:
            origin, later = " (as for the training images)" if choice is trained else "", ""
            if fitting.offset == 0 and sample.dtype == np.uint16 and sample.min() >= -SENTINEL2_OFFSET:
                later = f" (or --offset {SENTINEL2_OFFSET * fitting.scale:g}: Sentinel-2 since baseline 04.00)"
            given = f"--scale {fitting.scale:g} --offset {fitting.offset:g}{origin}"
            return f"{given} would fit{later}; if that is not what they are, "
    return ""


def _span(values: np.ndarray) -> str:
    """Return the lowest and the highest value as text."""
    return f"{values.min():g} to {values.max():g}"
