"""Units of pairs: which model values the stored ones stand for, and whether an image lies in the value range."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from declouds.datamodules.pairs import BandFile, Pair, PairHeader, read_with_gaps
from declouds.errors import UserError
from declouds.units import Units, can_hold, choose_units, is_dark, is_outside
from declouds.value_range import ValueRange

Reader = Callable[[Sequence[BandFile]], tuple[np.ndarray, np.ndarray]]  # image as stored, mask of valid pixels


@dataclass(frozen=True)
class PairUnits:
    """Units of the stored values, and the model values that map to -1 and 1."""

    units: Units
    value_range: ValueRange

    @classmethod
    def of(
        cls,
        pairs: Sequence[Pair],
        headers: Sequence[PairHeader],
        value_range: ValueRange | Sequence[float] | None = None,
        scale: float | None = None,
        offset: float | None = None,
    ) -> "PairUnits":
        """Return the units of some pairs; those of 8-bit values if there are none.

        Raises:
            UserError: the files differ in scale and offset, or their type has no known value range or cannot hold it.
        """
        if not pairs:
            return cls(Units(), _range_for(value_range, "uint8", Units()))
        first, dtype = pairs[0].cloudy[0].path, headers[0].dtype
        tags = frozenset().union(*(header.units for header in headers))
        units = choose_units(first, tags, scale, offset, "scale and offset of the data module")
        known = _range_for(value_range, dtype, units)
        if not units.origin and not can_hold(np.dtype(dtype), known):
            raise UserError(
                f"{first}: is {dtype}, which cannot hold value_range {known}: give the range of this sensor, or scale "
                "and offset"
            )
        return cls(units, known)

    @property
    def stored_range(self) -> ValueRange:
        """The stored values that map to -1 and 1."""
        return self.units.stored(self.value_range)

    def read(self, files: Sequence[BandFile]) -> tuple[np.ndarray, np.ndarray]:
        """Read an image as stored, and its mask of valid pixels. Shapes: (C, H, W), (H, W) bool.

        Raises:
            UserError: see `read_with_gaps`; or 99 % of the values lie outside the value range, or at its dark end.
        """
        stored = self.stored_range
        values, valid = read_with_gaps(files, stored)
        known = values[:, valid]
        known_units = self.units.origin or values.dtype.kind == "f"  # integers of unknown units may be that dark
        if is_outside(known, stored) or (known_units and is_dark(known, stored)):
            raise UserError(
                f"{files[0].path}: all values ({known.min():g} to {known.max():g}){self.units.meaning(known)} or "
                f"99 % of them lie outside value_range ({self.value_range.low:g}, {self.value_range.high:g}), or at "
                "its dark end: give the value range of this sensor, or scale and offset"
            )
        return values, valid


@dataclass(frozen=True)
class Given:
    """What a user says of the units, as in the config of a data module."""

    value_range: ValueRange | Sequence[float] | None = None
    scale: float | None = None
    offset: float | None = None

    def units(self, pairs: Sequence[Pair], headers: Sequence[PairHeader]) -> PairUnits:
        """Return the units of some pairs; see `PairUnits.of`."""
        return PairUnits.of(pairs, headers, self.value_range, self.scale, self.offset)

    def reader(self, pair: Pair, header: PairHeader) -> Reader:
        """Return what reads the images of a pair: as training does, or without a check where no range is known.

        Raises:
            UserError: see `PairUnits.of`.
        """
        bytes_alone = header.dtype == "uint8" and header.units == {(1.0, 0.0)}
        known = self != UNTOLD or bytes_alone
        return self.units([pair], [header]).read if known else read_with_gaps


UNTOLD = Given()


def _range_for(value_range: ValueRange | Sequence[float] | None, dtype: str, units: Units) -> ValueRange:
    if isinstance(value_range, ValueRange):
        return value_range
    if value_range is None and units.origin:
        raise UserError(
            f"stored values are scaled ({units}), but value_range is not set: give value_range=(low, high) in these "
            "units, or scale=1 to use the stored values"
        )
    if value_range is None:
        return ValueRange.of_dtype(dtype)
    if len(value_range) != 2:
        raise UserError(f"value_range={value_range}: give two sensor values, (low, high)")
    return ValueRange(float(value_range[0]), float(value_range[1]))
