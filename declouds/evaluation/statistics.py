"""Means over images, with intervals, and two runs compared image by image."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from declouds.errors import UserError
from declouds.evaluation.metric_names import FACTS, better

Row = dict[str, Any]  # one image: `name`, metrics under keys like `official.psnr`, facts under `image.cover` ...

RESAMPLES = 9999
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean with its 95 % interval, and how many images it rests on.

    ``infinite`` images (a PSNR of equal images) and ``missing`` ones (not defined) are left out of mean and interval.
    If all are infinite the mean is; without any image it is NaN. The interval is NaN below two images.
    """

    mean: float
    low: float
    high: float
    images: int
    infinite: int
    missing: int


def summarise(rows: Sequence[Row], seed: int = 0, intervals: bool = True) -> dict[str, Estimate]:
    """Return the mean of every metric with its percentile bootstrap interval (Efron 1979), images being the units.

    Without ``intervals``, which take most of the time, they are NaN.
    """
    return {metric: estimate(column(rows, metric), seed, intervals) for metric in metrics_of(rows)}


def compare(rows_a: Sequence[Row], rows_b: Sequence[Row], seed: int = 0) -> dict[str, Estimate]:
    """Return the mean of a - b, paired by image, with its interval, for every metric that both have (`difference`).

    An image that is infinite in both counts as equal (0), in one only as infinite.

    Raises:
        UserError: the two do not hold the same images, or one holds an image twice.
    """
    names_a, names_b = [row["name"] for row in rows_a], [row["name"] for row in rows_b]
    for names in (names_a, names_b):
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise UserError(f"these images are listed twice: {', '.join(twice[:5])}: compare results with unique names")
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
    """Return every metric that some row has, in the order of appearance; facts of an image are none."""
    return [key for key in keys_of(rows) if not key.startswith(FACTS)]


def keys_of(rows: Sequence[Row]) -> list[str]:
    """Return every metric and fact that some row has, in the order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row if key != "name"))


def column(rows: Sequence[Row], metric: str) -> np.ndarray:
    """Return the values of a metric, NaN where a row has none."""
    return np.array([row.get(metric, math.nan) for row in rows], dtype=np.float64)


def difference(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    """Return a - b, which is 0 where both are infinite; of a metric that is best at 0 the difference of sizes."""
    if better(metric) == "nearer 0":
        a, b = np.abs(a), np.abs(b)
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


FEWEST = 6  # images that differ: the smallest two-sided p of n of them is 2 / 2^n, which is 0.06 for five


class PValue(NamedTuple):
    """A p-value, or NaN and the reason why there is none."""

    p: float
    reason: str = ""


def signed_rank(differences: np.ndarray) -> PValue:
    """Test if paired differences are symmetric about 0 (Wilcoxon 1945, two-sided), images being the units.

    Differences of 0 are left out, as Wilcoxon did, and so are infinite ones, as from the mean. p is exact for few
    images without ties, else by the normal distribution or by permutations: scipy's choice.
    """
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return PValue(math.nan, "no image has both values")
    differ = finite[finite != 0]
    if not len(differ):
        return PValue(math.nan, "all images are equal")
    if len(differ) < FEWEST:
        return PValue(math.nan, f"fewer than {FEWEST} images differ, which never reaches 5 %")
    from scipy.stats import wilcoxon  # half a second to import

    return PValue(float(wilcoxon(differ).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm 1979); those that are NaN stay so and do not count.

    The chance that *any* of the differences with a corrected value below 0.05 is none is then below 0.05.
    """
    corrected = [math.nan] * len(p_values)
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
