"""Means over images with confidence intervals, and paired comparisons of runs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from declouds.errors import UserError
from declouds.evaluation.metric_names import FACTS, target

Row = dict[str, Any]  # one image: `name`, metrics under keys like `official.psnr`, facts under `image.cover` ...

RESAMPLES = 9999
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean with its 95 % confidence interval and numbers of images.

    ``infinite`` values (the PSNR of equal images) and ``missing`` ones (undefined) are excluded from mean and interval.
    The mean is infinite if all values are, and NaN without values. The interval is NaN below two images.
    """

    mean: float
    low: float
    high: float
    images: int
    infinite: int
    missing: int


def summarise(rows: Sequence[Row], seed: int = 0, intervals: bool = True) -> dict[str, Estimate]:
    """Return the mean of every metric with its percentile bootstrap interval (Efron 1979), resampling images.

    ``intervals=False`` skips the intervals, which take most of the time, and leaves them NaN.
    """
    return {metric: estimate(column(rows, metric), seed, intervals) for metric in metrics_of(rows)}


def compare(rows_a: Sequence[Row], rows_b: Sequence[Row], seed: int = 0) -> dict[str, Estimate]:
    """Return the mean of a - b, paired by image, with its interval, for every metric that both have (`difference`).

    An image that is infinite in both counts as equal (0), in only one as infinite.

    Raises:
        UserError: the two have different images, or one has an image twice.
    """
    names_a, names_b = [row["name"] for row in rows_a], [row["name"] for row in rows_b]
    for names in (names_a, names_b):
        if len(set(names)) < len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise UserError(f"images listed twice: {', '.join(repeated[:5])}: compare results with unique names")
    if set(names_a) != set(names_b):
        odd = sorted(set(names_a) ^ set(names_b))
        raise UserError(f"only one of the two results has {', '.join(odd[:5])}: evaluate both on the same images")
    by_name = {row["name"]: row for row in rows_b}
    rows_b = [by_name[name] for name in names_a]
    both = [metric for metric in metrics_of(rows_a) if metric in metrics_of(rows_b)]
    return {
        metric: estimate(difference(column(rows_a, metric), column(rows_b, metric), metric), seed) for metric in both
    }


def metrics_of(rows: Sequence[Row]) -> list[str]:
    """Return every metric of any row, in order of appearance, without facts about images."""
    return [key for key in keys_of(rows) if not key.startswith(FACTS)]


def keys_of(rows: Sequence[Row]) -> list[str]:
    """Return every metric and fact of any row, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row if key != "name"))


def column(rows: Sequence[Row], metric: str) -> np.ndarray:
    """Return the values of a metric, NaN where a row lacks it."""
    return np.array([row.get(metric, math.nan) for row in rows], dtype=np.float64)


def difference(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    """Return a - b, 0 where both are infinite; of a metric that is best at a value, that of the distances to it."""
    best = target(metric)
    if best is not None:
        a, b = np.abs(a - best), np.abs(b - best)
    equal = np.isinf(a) & (a == b)
    with np.errstate(invalid="ignore"):
        return np.where(equal, 0.0, a - b)


def estimate(values: np.ndarray, seed: int = 0, interval: bool = True) -> Estimate:
    """Return the mean of the finite values with its percentile bootstrap interval."""
    finite = values[np.isfinite(values)]
    infinite = values[np.isinf(values)]
    low = high = math.nan
    if len(finite):
        mean = float(finite.mean())
        if interval and len(finite) > 1:
            low, high = _bootstrap(finite, seed)
    else:
        mean = float(infinite.mean()) if len(infinite) and (infinite == infinite[0]).all() else math.nan
    return Estimate(mean, low, high, len(finite), len(infinite), int(np.isnan(values).sum()))


def _bootstrap(values: np.ndarray, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap  # half a second to import

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 1_000_000 // len(values)),  # at most 8 MB of resampled values at a time
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


FEWEST = 6  # differing images: the minimum two-sided p for n of them is 2 / 2^n, which is 0.06 for five


class PValue(NamedTuple):
    """A p-value, or NaN with the reason."""

    p: float
    reason: str = ""


def signed_rank(differences: np.ndarray) -> PValue:
    """Test whether paired differences are symmetric about 0 (Wilcoxon signed-rank test, 1945, two-sided).

    Differences of 0 are excluded, following Wilcoxon, and so are infinite ones. p is exact for few images without ties,
    otherwise from the normal approximation or permutations, as scipy chooses.
    """
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return PValue(math.nan, "no image has finite values in both")
    differ = finite[finite != 0]
    if not len(differ):
        return PValue(math.nan, "all images are equal")
    if len(differ) < FEWEST:
        return PValue(math.nan, f"fewer than {FEWEST} images differ, so p cannot reach 5 %")
    from scipy.stats import wilcoxon  # half a second to import

    return PValue(float(wilcoxon(differ).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for multiple testing (Holm 1979); NaN values stay NaN and do not count.

    Rejecting at corrected values below 0.05 keeps the probability of *any* false positive below 0.05.
    """
    corrected = [math.nan] * len(p_values)
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
