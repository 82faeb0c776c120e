"""One value per pixel from the dates that are clear there."""

from collections.abc import Sequence

import numpy as np

HOW = ("linear", "nearest", "median")


def composite(
    dates: np.ndarray, clear: np.ndarray, gaps: Sequence[float], how: str = "linear"
) -> tuple[np.ndarray, np.ndarray]:
    """Return, per pixel, an image of the clear dates, and where there is one.

    ``nearest`` takes the clear date nearest in time; of two as near, the one named first. ``linear`` interpolates in
    time between the nearest clear date before, a days, and the nearest after, b days,

        (b * before + a * after) / (a + b)

    and takes the nearest where all clear dates lie on one side. ``median`` is the median of all clear dates.

    Args:
        dates: the dates, their colours matched to the target's.
        clear: where each is clear.
        gaps: days from the target to each date, negative before it; ``median`` does not use them.
        how: one of `HOW`.

    Shapes: dates (K, C, H, W), clear (K, H, W) bool -> (C, H, W) float32, 0 where no date is clear, and (H, W) bool.
    """
    covered, days = np.asarray(clear.any(0)), np.asarray(gaps, float)
    if how == "median":
        found: np.ndarray = np.zeros(dates.shape[1:], np.float32)
        seen = np.where(clear[:, covered][:, None], dates[:, :, covered], np.nan)
        if seen.size:
            found[:, covered] = np.nanmedian(seen, 0)
        return found, covered
    if how == "nearest":
        return _nearest(dates, clear, np.abs(days))[0], covered
    before, a = _nearest(dates, clear, np.where(days <= 0, -days, np.inf))
    after, b = _nearest(dates, clear, np.where(days >= 0, days, np.inf))
    share = np.where(np.isinf(b) | (a == 0), 0, 1).astype(np.float32)  # of the date after
    both = np.isfinite(a) & np.isfinite(b) & (a + b > 0)
    share[both] = a[both] / (a[both] + b[both])
    return (1 - share) * before + share * after, covered


def _nearest(dates: np.ndarray, clear: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the clear date of least distance and that distance, 0 and infinity where no finite one is clear."""
    found = np.zeros(dates.shape[1:], np.float32)
    least = np.full(dates.shape[2:], np.inf, np.float32)
    for index in reversed(np.argsort(distance, kind="stable")):
        if np.isfinite(distance[index]):
            found[:, clear[index]] = dates[index][:, clear[index]]
            least[clear[index]] = distance[index]
    return found, least
