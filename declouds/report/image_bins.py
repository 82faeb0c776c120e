"""Images sorted into bins: by how much of each is under cloud, or by how much the cloud changes it."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

COVER, CHANGE = "image.cover", "image.change"
COVER_EDGES = (0.0, 0.1, 0.3, 0.6, 1.0)
ALL = "all images"


class Bin(NamedTuple):
    """Some of the images.

    ``fact`` is what they are sorted by, empty for all images; an image lies in the bin if low <= value < high, in the
    last bin also if value = high.
    """

    name: str
    images: int
    fact: str = ""
    low: float = -math.inf
    high: float = math.inf


def sort_into_bins(facts: dict[str, np.ndarray]) -> dict[Bin, np.ndarray]:
    """Return each bin that holds an image with its members (N, bool): by cover, or without masks in thirds by change.

    Args:
        facts: ``image.cover`` and ``image.change`` of every image, NaN where not known.
    """
    cover, change = facts[COVER], facts[CHANGE]
    if not np.isnan(cover).all():
        names = [f"cover {low:.0%}-{high:.0%}".replace("%-", "-") for low, high in pairwise(COVER_EDGES)]
        return _bins(COVER, cover, COVER_EDGES, names)
    known = change[~np.isnan(change)]
    if len(known) < 3:
        return {}
    edges = tuple(float(edge) for edge in np.quantile(known, (0, 1 / 3, 2 / 3, 1)))
    names = [
        f"change {third} third, {low:.3f}-{high:.3f}"
        for third, (low, high) in zip(("least", "middle", "most"), pairwise(edges), strict=True)
    ]
    return _bins(CHANGE, change, edges, names)


def _bins(fact: str, values: np.ndarray, edges: tuple[float, ...], names: list[str]) -> dict[Bin, np.ndarray]:
    found = {}
    for name, (low, high) in zip(names, pairwise(edges), strict=True):
        members = (values >= low) & ((values < high) | ((values == high) & (high == edges[-1])))
        if members.any():
            found[Bin(name, int(members.sum()), fact, low, high)] = members
    return found
