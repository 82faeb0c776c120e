"""By how much two images of one place are shifted against each other."""

import numpy as np

PEAK = 6.0  # height of a correlation peak that is no chance, in standard deviations of the rest


def find_shift(target: np.ndarray, date: np.ndarray, clear: np.ndarray) -> tuple[float, float] | None:
    """Return how many rows and columns the content of ``date`` lies below and to the right of that of ``target``.

    Phase correlation (Kuglin and Hines 1975) of the local gradients on clear ground, under a Hann window, the peak
    refined by a parabola through it and its neighbours along each axis. On real scenes it is good to about 0.1 pixels.

    Args:
        target: one band, or the mean of several.
        date: the same of the other date.
        clear: where both are clear.

    Shapes: (H, W) each, at least (32, 32).

    Returns:
        None if no peak stands out, or less than half of the pixels are clear.
    """
    from scipy.fft import irfft2, rfft2
    from scipy.ndimage import binary_erosion

    if min(clear.shape) < 32 or clear.mean() < 0.5:
        return None
    inside = binary_erosion(clear, iterations=2)  # gradients across the edge of a cloud are not of the ground
    window = np.hanning(clear.shape[0])[:, None] * np.hanning(clear.shape[1])[None] * inside
    spectra = []
    for image in (target, date):
        rows, cols = np.gradient(image.astype(np.float64))
        texture = np.hypot(rows, cols)
        if not inside.any() or np.ptp(texture[inside]) == 0:
            return None
        spectra.append(rfft2((texture - texture[inside].mean()) * window))
    cross = spectra[1] * np.conj(spectra[0])
    surface = irfft2(cross / np.maximum(np.abs(cross), 1e-12), s=clear.shape)
    peak = np.unravel_index(surface.argmax(), surface.shape)
    if surface[peak] < PEAK * surface.std():
        return None
    found = []
    for axis, place in enumerate(peak):
        around = [
            surface[tuple(np.roll([int(place) + step, int(peak[1 - axis])], axis) % surface.shape)]
            for step in (-1, 0, 1)
        ]
        curve = around[0] - 2 * around[1] + around[2]
        exact = place + (0.5 * (around[0] - around[2]) / curve if curve < 0 else 0)
        size = surface.shape[axis]
        found.append(float((exact + size / 2) % size - size / 2))
    return found[0], found[1]
