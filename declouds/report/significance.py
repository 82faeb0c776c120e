"""Is a paired difference more than chance? Wilcoxon's signed-rank test, and Holm's correction for many of them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST = 6  # images that differ: the least two-sided p of n of them is 2 / 2^n, which is 0.06 for five


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
