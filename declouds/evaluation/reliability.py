"""Whether the spread of samples tells how far results are off: errors by spread, and a fit of one to the other."""

import numpy as np
from scipy.optimize import minimize

from declouds.calibration import SpreadCalibration

FINEST, WIDEST = 1e-5, 2.0  # of the values that pixels are sorted by, in model units
BINS = 1000  # of equal width in the logarithm, so 1.2 % each
CURVE = 10  # bins of a curve, of about as many pixels each
LEAST = 1e-3  # of the RMS error: the least `a`, so that no deviation is 0


class Reliability:
    """Sums over pixels, sorted by any quantity from 0 to 2 into bins fine enough for curves and fits.

    Args:
        bands: bands of the images.
        samples: number of samples N of each image.
    """

    def __init__(self, bands: int, samples: int) -> None:
        self.samples = samples
        self.sums = np.zeros((3, bands, BINS))  # pixels, squared spreads, squared errors
        self.edges = np.geomspace(FINEST, WIDEST, BINS)[:-1]

    def add(self, by: np.ndarray, spread: np.ndarray, error: np.ndarray) -> None:
        """Add pixels. Shapes: (bands, n) each. Units: [-1, 1] for errors, so all are from 0 to 2 in size."""
        bands = len(spread)
        place = (np.searchsorted(self.edges, by) + BINS * np.arange(bands)[:, None]).ravel()
        for sums, values in zip(self.sums, (np.ones_like(spread), spread**2, error**2), strict=True):
            sums += np.bincount(place, values.ravel(), bands * BINS).reshape(bands, BINS)

    def curve(self, calibration: SpreadCalibration | None = None) -> list[dict[str, float]]:
        """Return about ten bins of as many pixels each, all bands together, in rising order.

        Each has ``from`` and ``to``, the limits of what pixels are sorted by; ``pixels``, counted in every band;
        ``rmse`` of the mean of the samples; ``spread``, the predicted one: the root of the mean square of the samples'
        standard deviation, times sqrt(1 + 1/N), which equals ``rmse`` where clear image and samples come from one
        distribution (Fortin et al. 2014, doi 10.1175/JHM-D-14-0008.1); and ``calibrated``, the one by the calibration.

        Units: [-1, 1], so 2 is the whole range.
        """
        pixels, spreads, errors = self.sums
        cumulative = pixels.sum(0).cumsum()
        if not cumulative[-1]:
            return []
        ends = np.unique(np.searchsorted(cumulative, cumulative[-1] * np.arange(1, CURVE + 1) / CURVE))
        limits = np.array([0.0, *self.edges, WIDEST])
        curve = []
        for begin, end in zip([0, *ends[:-1] + 1], ends + 1, strict=True):
            count = pixels[:, begin:end].sum(1)
            squared = spreads[:, begin:end].sum(1)
            entry = {"from": limits[begin], "to": limits[end], "pixels": count.sum()}
            entry["spread"] = np.sqrt((1 + 1 / self.samples) * squared.sum() / count.sum())
            if calibration is not None:
                deviation = calibration.deviation(np.sqrt(squared / np.maximum(count, 1)), self.samples)
                entry["calibrated"] = np.sqrt((count * deviation**2).sum() / count.sum())
            entry["rmse"] = np.sqrt(errors[:, begin:end].sum() / count.sum())
            curve.append({key: float(value) for key, value in entry.items()})
        return curve

    def fit(self, steps: int | None) -> SpreadCalibration:
        """Fit the deviation of the error of the mean of samples, band by band; pixels are to be sorted by their spread.

        a and b maximise the likelihood of errors e with spread s under a normal distribution of mean 0::

            sum over pixels of  -log(a^2 + b^2 s^2) / 2 - e^2 / (2 (a^2 + b^2 s^2))

        Args:
            steps: number of sampling steps, which the calibration is valid for.
        """
        fitted = np.array([_fit(*sums) for sums in self.sums.swapaxes(0, 1)])
        return SpreadCalibration(tuple(fitted[:, 0].tolist()), tuple(fitted[:, 1].tolist()), self.samples, steps)


def _fit(pixels: np.ndarray, spreads: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Return a and b of one band, given sums of squares. Shapes: (bins,)."""
    used = pixels > 0
    pixels, spreads, errors = pixels[used], spreads[used], errors[used]
    error, spread = errors.sum() / max(pixels.sum(), 1), spreads.sum() / max(pixels.sum(), 1)
    if not error or not spread:  # there is nothing to scale
        return float(np.sqrt(error)), 0.0
    squares = spreads / pixels / spread

    def loss(logarithms: np.ndarray) -> float:  # of a^2 and b^2, each as a share of the mean squared error
        a, b = np.exp(logarithms)
        variance = a + b * squares
        return float((pixels * np.log(variance) + errors / error / variance).sum() / pixels.sum())

    least = 2 * np.log(LEAST)
    a, b = np.exp(minimize(loss, np.log([0.5, 0.5]), method="L-BFGS-B", bounds=[(least, 3.0)] * 2).x)
    return float(np.sqrt(a * error)), float(np.sqrt(b * error / spread))
