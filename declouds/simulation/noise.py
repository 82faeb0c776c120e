"""Fractal noise: the shape of clouds, relief and woods."""

import math

import numpy as np
import scipy.fft


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    slope: float,
    scale: float,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> np.ndarray:
    """Return Gaussian noise with the power spectrum of clouds and terrain, of mean 0 and variance 1 over many draws.

    Spectral synthesis (Peitgen and Saupe, The Science of Fractal Images, 1988, section 2.4): white noise, filtered in
    the frequency domain so that power falls as ``(f^2 + 1 / scale^2)^(-slope / 2)``: a low ``slope`` is rough, a high
    one smooth. ``stretch`` elongates the shapes along ``angle``. The field repeats at its borders.

    Shapes: (height, width).
    Units: ``scale`` in pixels, the size above which nothing is correlated; ``angle`` in radians.
    """
    rows = np.fft.fftfreq(height).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(width).astype(np.float32)[None]
    along = (columns * math.cos(angle) + rows * math.sin(angle)) * stretch
    across = rows * math.cos(angle) - columns * math.sin(angle)
    amplitude = (along**2 + across**2 + np.float32(1 / scale**2)) ** np.float32(-slope / 4)
    white = scipy.fft.rfft2(rng.standard_normal((height, width), dtype=np.float32))
    field = scipy.fft.irfft2(white * amplitude, s=(height, width))
    # The columns of a real transform stand for two frequencies each, but for the first and (even width) the last.
    power = 2 * np.sum(amplitude**2, dtype=np.float64) - np.sum(amplitude[:, 0] ** 2, dtype=np.float64)
    if width % 2 == 0:
        power -= np.sum(amplitude[:, -1] ** 2, dtype=np.float64)
    return field * np.float32(np.sqrt(height * width / power))
