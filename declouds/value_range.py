"""Sensor units at the borders, [-1, 1] inside: the only place that converts."""

from dataclasses import dataclass

import numpy as np

from declouds.errors import UserError


@dataclass(frozen=True)
class ValueRange:
    """The sensor values that stand for -1 (``low``) and 1 (``high``).

    Raises:
        UserError: ``high`` is not greater than ``low``.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise UserError(f"a value range goes from low to high; got {self.low} to {self.high}")

    @classmethod
    def of_dtype(cls, dtype: np.dtype | str) -> "ValueRange":
        """Return 0..255 for uint8; every other type needs a range from the user, since its units cannot be known.

        Raises:
            UserError: ``dtype`` is not uint8.
        """
        if np.dtype(dtype) == np.uint8:
            return cls(0.0, 255.0)
        raise UserError(
            f"the values of {np.dtype(dtype).name} images have no known range: give value_range=(low, high)"
        )

    def to_model(self, values: np.ndarray) -> np.ndarray:
        """Map sensor values to float32 in [-1, 1]; values outside the range are clipped to its ends."""
        scaled = (values.astype(np.float32) - self.low) * (2.0 / (self.high - self.low)) - 1.0
        return np.clip(scaled, -1.0, 1.0).astype(np.float32)

    def from_model(self, values: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
        """Map [-1, 1] to sensor values of ``dtype``: rounded for integers, clipped to the type, never wrapped."""
        sensor = (np.clip(values.astype(np.float64), -1.0, 1.0) + 1.0) * ((self.high - self.low) / 2.0) + self.low
        return as_type(sensor, dtype)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def as_type(sensor: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
    """Return sensor values in the type of a file: rounded for integers, clipped to the type, never wrapped."""
    dtype = np.dtype(dtype)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        sensor = np.clip(np.rint(sensor), limits.min, limits.max)
    return sensor.astype(dtype)
