"""How far results really are off, given how far samples from other noise differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SpreadCalibration:
    """The deviation of the error of each band of the mean of N samples: sqrt(a^2 + (b * spread)^2).

    Attributes:
        a: what is left where samples agree, one value a band, in model units (2 is the whole range).
        b: factor of the spread, one value a band.
        samples: N.
        steps: number of sampling steps that it was fitted with; None for a model that has none.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    samples: int
    steps: int | None = None

    def deviation(self, spread: np.ndarray, averaged: int = 1) -> np.ndarray:
        """Return the deviation of the error of the mean of ``averaged`` samples, by default that of a single sample.

        The mean of n of the N samples x is off the mean of all too. These deviations add up to 0 over all choices of n,
        so they are not correlated with the error of the mean of all, and the clear image y being fixed::

            E (mean_n(x) - y)^2 = (mean_N(x) - y)^2 + (1/n - 1/N) spread^2

        Shapes: spread (bands, ...), the standard deviation of the samples (divisor N - 1), to the same.
        Units: [-1, 1].
        """
        shape = (-1, *[1] * (spread.ndim - 1))
        a, b = (np.reshape(values, shape) for values in (self.a, self.b))
        factor = np.maximum(b**2 + 1 / averaged - 1 / self.samples, 0)
        return np.sqrt(a**2 + factor * spread**2)


def recorded_calibration(record: Mapping[str, Any], bands: int, steps: int | None) -> SpreadCalibration | None:
    """Return the calibration that weights record, or None if there is none for this number of sampling steps.

    Args:
        record: what was found about the inference of the weights.
        bands: bands of the model.
        steps: number of sampling steps now.
    """
    match record.get("spread"):
        case {"a": [*a], "b": [*b], "samples": int() as samples, "steps": int() | None as fitted}:
            known = len(a) == len(b) == bands and samples > 1 and all(math.isfinite(value) for value in (*a, *b))
            return SpreadCalibration(tuple(a), tuple(b), samples, fitted) if known and fitted == steps else None
    return None
