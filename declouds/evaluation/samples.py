"""Scores of several samples of one image: how far they are off together, and whether their spread says so."""

from typing import Any

import numpy as np
import torch
from scipy.stats import norm, t

from declouds.calibration import SpreadCalibration
from declouds.evaluation.official import of_valid
from declouds.evaluation.reliability import Reliability
from declouds.evaluation.standard import psnr_and_ssim

LEVELS = (0.5, 0.9)
PART = 2**16  # pixels measured at a time, which fit a processor's cache
ENOUGH = 19  # samples whose least and greatest are the quantiles of 5 % and 95 %
INTERVALS = {
    True: "from the quantiles of the samples",
    False: f"by Student's t from mean and spread, as fewer than {ENOUGH} samples have no such quantiles",
}


class SampleScores:
    """Measures the samples of image after image.

    Args:
        samples: number of samples N of each image, from 2.
        bands: bands of the images.
        calibration: of the spread, to measure with and without it.

    Attributes:
        by_spread: errors by the spread of the samples.
        by_thickness: errors by the thickness of the cloud, |cloudy - clear|, mean of the bands.
    """

    def __init__(self, samples: int, bands: int, calibration: SpreadCalibration | None = None) -> None:
        self.samples, self.calibration = samples, calibration
        self.by_spread, self.by_thickness = (Reliability(bands, samples) for _ in range(2))

    def measure(
        self, samples: torch.Tensor, clear: torch.Tensor, cloudy: torch.Tensor, valid: torch.Tensor | None = None
    ) -> dict[str, float]:
        """Measure one image; `describe` says what the figures are. Nodata pixels are excluded.

        Shapes: samples (N, C, H, W), clear (C, H, W), cloudy (in_bands, H, W), valid (1, H, W) bool.
        Units: images in [-1, 1], so 2 is the whole range of ``crps``, ``spread`` and ``rmse``; coverages are fractions.
        """
        quality = [psnr_and_ssim(image, clear, valid) for image in (*samples, samples.mean(0))]
        drawn = np.stack([_pixels(image, valid) for image in samples])
        truth, seen = _pixels(clear, valid), _pixels(cloudy, valid) if cloudy.shape == clear.shape else None
        sums: dict[str, float] = {}
        for begin in range(0, truth.shape[1], PART):
            part = (..., slice(begin, begin + PART))
            measured = self._measure(drawn[part].astype(np.float64), truth[part], None if seen is None else seen[part])
            for key, of_pixels in measured.items():
                sums[key] = sums.get(key, 0.0) + of_pixels.sum()
        values = {key: total / truth.size for key, total in sums.items()}
        values |= {key: np.sqrt(values[key]) for key in values if key.startswith(("spread", "rmse"))}
        for name, found in zip(("psnr", "ssim"), zip(*quality, strict=True), strict=True):
            values |= {f"{name}.best_sample": np.max(found[:-1]), f"{name}.mean_image": found[-1]}
        return {f"samples.{key}": float(value) for key, value in values.items()}

    def _measure(self, samples: np.ndarray, truth: np.ndarray, cloudy: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return what is averaged over pixels; ``spread`` and ``rmse`` squared. Shapes: (N, C, n), (C, n) -> (C, n)."""
        error, spread = samples.mean(0) - truth, samples.std(0, ddof=1)
        self.by_spread.add(spread, spread, error)
        if cloudy is not None:
            thickness = np.abs(cloudy - truth).mean(0, keepdims=True)
            self.by_thickness.add(np.broadcast_to(thickness, truth.shape), spread, error)
        values = {"crps": crps(samples, truth)}
        for level in LEVELS:
            low, high = central_interval(samples, level)
            values[f"coverage{100 * level:.0f}"] = (low <= truth) & (truth <= high)
        values |= {"spread": (1 + 1 / self.samples) * spread**2, "rmse": error**2}
        if self.calibration is not None:
            deviation = self.calibration.deviation(spread, self.samples)
            for level in LEVELS:
                within = np.abs(error) <= norm.ppf((1 + level) / 2) * deviation
                values[f"coverage{100 * level:.0f}.calibrated"] = within
            values["spread.calibrated"] = deviation**2
        return values

    def describe(self) -> str:
        """Return one line on what the scores are."""
        return (
            f"{self.samples} samples of an image, on [-1, 1]; crps: fair, equals MAE where samples agree; coverage: "
            f"share of pixels in the central 50 and 90 % interval, {INTERVALS[self.samples >= ENOUGH]}; spread: "
            "expected RMSE of the mean; calibrated: normal, by the recorded calibration; PSNR and SSIM as in standard"
        )

    def content(self) -> dict[str, Any]:
        """Return what ``results.json`` holds under ``samples``: number, calibration, and `Reliability.curve` twice."""
        calibration = self.calibration
        return dict(
            count=self.samples,
            interval=INTERVALS[self.samples >= ENOUGH],
            calibration=None if calibration is None else vars(calibration),
            by_spread=self.by_spread.curve(calibration),
            by_thickness=self.by_thickness.curve(calibration),
        )


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of samples, 0 is perfect.

    It is ``E|X - y| - E|X - X'| / 2`` (Gneiting & Raftery 2007, equation 21, with the sign turned), estimated without
    bias from N samples, whatever their number (the "fair" one of Ferro 2014, doi 10.1002/qj.2270)::

        mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (N (N - 1))

    Shapes: samples (N, ...), truth (...) -> (...).
    Units: those of the samples.
    """
    count = len(samples)
    weights = 2 * np.arange(1, count + 1) - count - 1  # of sorted samples in the sum of their differences
    differences = np.tensordot(weights, np.sort(samples, axis=0), 1)
    return np.abs(samples - truth).mean(0) - differences / (count * (count - 1))


def central_interval(samples: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits between which a further draw from the samples' distribution lies with probability ``level``.

    From 19 samples on these are quantiles: the k-th of N sorted samples is that of k / (N + 1), with straight lines
    between (Hyndman & Fan 1996, type 6). Fewer have no 5 % quantile; then the interval is the one for normal samples
    of unknown mean and deviation, mean +- t s sqrt(1 + 1/N), with Student's t for N - 1 degrees of freedom.

    Shapes: (N, ...) -> (...) each.
    """
    outside, count = (1 - level) / 2, len(samples)
    if count >= ENOUGH:
        low, high = np.quantile(samples, (outside, 1 - outside), axis=0, method="weibull")
        return low, high
    half = t.ppf(1 - outside, count - 1) * np.sqrt(1 + 1 / count) * samples.std(0, ddof=1)
    return samples.mean(0) - half, samples.mean(0) + half


def _pixels(image: torch.Tensor, valid: torch.Tensor | None) -> np.ndarray:
    """Shapes: (C, H, W), valid (1, H, W) -> (C, n)."""
    return of_valid(image, valid).flatten(1).cpu().numpy()
