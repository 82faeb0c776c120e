"""How far results really are off, given how far samples from other noise differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SpreadCalibration:
    """The deviation of the error of each band: sqrt(a^2 + (b * spread)^2).

    Attributes:
        a: what is left where samples agree, one value a band, in model units (2 is the whole range).
        b: factor of the spread, one value a band.
        samples: number of samples N that it was fitted with, whose mean is the estimate that errs.
        steps: number of sampling steps that it was fitted with; None for a model that has none.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    samples: int
    steps: int | None = None

    def of_mean(self, spread: np.ndarray) -> np.ndarray:
        """Return the deviation of the error of the mean of samples.

        Shapes: spread (bands, ...), the standard deviation of the samples (divisor N - 1), to the same.
        Units: [-1, 1].
        """
        return self._deviation(spread, 0.0)

    def of_sample(self, spread: np.ndarray) -> np.ndarray:
        """Return the deviation of the error of a single sample, which is off its mean too.

        The samples deviate from their mean by (1 - 1/N) spread^2 in the mean square, and these deviations add up to 0,
        so none of it is correlated with the error of the mean::

            mean_i (x_i - y)^2 = (mean(x) - y)^2 + (1 - 1/N) spread^2

        Shapes: as `of_mean`.
        Units: [-1, 1].
        """
        return self._deviation(spread, 1 - 1 / self.samples)

    def _deviation(self, spread: np.ndarray, more: float) -> np.ndarray:
        shape = (-1, *[1] * (spread.ndim - 1))
        a, b = (np.reshape(values, shape) for values in (self.a, self.b))
        return np.sqrt(a**2 + (b**2 + more) * spread**2)


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
