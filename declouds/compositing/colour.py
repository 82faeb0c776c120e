"""The colour of one date matched to that of another, on pixels that are clear in both."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from declouds.compositing.air import Air
from declouds.compositing.ground import Ground

FEWEST = 500  # pixels clear in both dates, below which nothing can be said about colour
ROUNDS = 10  # of reweighting
OUTLIER = 3.0  # root mean square of a pixel's residuals, in robust standard deviations, from which it does not count
RIDGE = 0.03  # of the gain, relative to the variance of the date
CELLS = 16  # with clear ground in both, below which their spread does not say what is usual
MOST = 3.0  # times the usual variance between places, at which a match is not believed at all
FINEST = 1e-3  # least spread of residuals, in that of the target: a perfect fit must not turn rounding into outliers
TO_STD = 1 / 1.349  # interquartile range to standard deviation, of a normal distribution


@dataclass(frozen=True)
class ColourMatch:
    """matched = date + offset + slope * (date - centre), per band.

    Shapes: (C,) each.
    Units: offset and centre as stored; slope has none, and 0 leaves the contrast as it is.
    """

    offset: np.ndarray
    slope: np.ndarray
    centre: np.ndarray

    @classmethod
    def identity(cls, bands: int) -> "ColourMatch":
        """Return the match that changes nothing."""
        return cls(np.zeros(bands), np.zeros(bands), np.zeros(bands))

    def __call__(self, date: np.ndarray) -> np.ndarray:
        """Return the date in the colour of the target. Shapes: (C, ...) -> (C, ...) float32."""
        offset, slope, centre = (
            value.reshape(-1, *[1] * (date.ndim - 1)).astype(np.float32)
            for value in (self.offset, self.slope, self.centre)
        )
        return date + offset + slope * (date - centre)


class Usual(NamedTuple):
    """How two images differ: by how much, and by how much more or less from place to place. Shapes: (C,)."""

    change: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, medians: np.ndarray) -> "Usual":
        """Return it by the medians of the difference in each cell. Shapes: (cells, C)."""
        low, middle, high = np.percentile(medians, [25, 50, 75], axis=0)
        return cls(np.abs(middle), TO_STD * (high - low))


def match_colour(
    target: np.ndarray, date: np.ndarray, cell: np.ndarray, usual: Usual | None = None, air: Air | None = None
) -> ColourMatch:
    """Return the match of a date to a target, shrunk towards none where the clear pixels disagree about it.

    Per band, target - date = offset + slope * (date - centre) is fitted by least squares, reweighted with Tukey's
    bisquare (Holland and Welsch 1977, doi 10.1080/03610927708827533) of a pixel's residuals over all bands: with
    r_b the residual of band b less its median, s_b = 1.4826 median |r_b| and z^2 = mean_b (r_b / s_b)^2,

        weight = (1 - (z / 3)^2)^2 for z < 3, else 0.

    That drops single pixels. The thin haze and the shadows around clouds cover many, and would go into the match. They
    vary from place to place, or, where little is clear, darken all of it; the ground does so no more than it does
    between two dates with the target in between. With change_b the size of the median over the cells of the median of
    target - date, spread_b its spread (interquartile range / 1.349), and both of the other date too, offset and slope
    are multiplied by

        trust = (3 - ratio) / 2, within [0, 1],
        ratio = median_b (spread_b^2 + max(change_b - change_b of the dates, 0)^2) / (spread_b of the dates)^2,

    one for all bands, since haze and shadow are in all of them. The rest of the trust goes to an offset from which haze
    and shadow have been taken out, `Air.unexplained`, where the bands are known and there are enough cells.

    Of a single date, or with clear ground in fewer than 16 cells, nothing is known to be usual: then

        trust_b = change_b^2 / (change_b^2 + spread_b^2).

    Args:
        target: pixels that are clear in both.
        date: the same pixels.
        cell: number of the part of the image that each pixel lies in.
        usual: what is usual between two dates.
        air: what haze and shadow do to the bands; if None they are not taken out.

    Shapes: target and date (C, n), cell (n,).
    Units: any, the same for both.

    Returns:
        The match; the identity if there are fewer than 500 pixels.
    """
    bands, pixels = target.shape
    if pixels < FEWEST:
        return ColourMatch.identity(bands)
    date = date.astype(np.float64)
    difference = target - date
    medians = _medians(difference, cell)
    own = Usual.of(medians)
    if usual is None:
        trust = own.change**2 / np.maximum(own.change**2 + own.spread**2, 1e-12)
    else:
        more = np.maximum(own.change - usual.change, 0)
        ratio = np.median((own.spread**2 + more**2) / np.maximum(usual.spread**2, 1e-12))
        trust = np.full(bands, np.clip((MOST - ratio) / (MOST - 1), 0, 1))
    change = np.zeros(bands)
    if air is not None and len(medians) >= CELLS:
        change = air.unexplained(medians, _medians(date, cell))

    finest = FINEST * np.std(target, 1, keepdims=True)
    weight = np.ones(pixels)
    for _ in range(ROUNDS):
        share = weight / weight.sum()
        centre, offset = date @ share, difference @ share
        centred = date - centre[:, None]
        variance = centred**2 @ share
        slope = (centred * (difference - offset[:, None])) @ share / np.maximum((1 + RIDGE) * variance, 1e-12)
        weight = _bisquare(difference - offset[:, None] - slope[:, None] * centred, finest)
        if weight.sum() < 1:
            return ColourMatch.identity(bands)
    return ColourMatch(trust * offset + (1 - trust) * change, trust * slope, centre)


def match_colours(ground: Ground, air: Air | None = None) -> list[ColourMatch]:
    """Return the match of each of several dates to a target, see `match_colour`; the dates tell what is usual."""
    air = None if air is None else air.of(ground.target)
    return [
        match_colour(ground.target[:, mine], date[:, mine], ground.cell[mine], _usual(number, ground), air)
        for number, (date, mine) in enumerate(zip(ground.dates, ground.seen, strict=True))
    ]


def _usual(number: int, ground: Ground) -> Usual | None:
    """Return what is usual between a date and the others; None if none shares enough clear ground."""
    date, mine = ground.dates[number], ground.seen[number]
    found = []
    for other, (layer, its) in enumerate(zip(ground.dates, ground.seen, strict=True)):
        both = mine & its
        if other != number and len(np.unique(ground.cell[both])) >= CELLS:
            found.append(Usual.of(_medians(date[:, both] - layer[:, both], ground.cell[both])))
    return Usual(*np.median(found, 0)) if found else None


def _medians(values: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return the median of each cell. Shapes: (C, n), (n,) -> (cells, C)."""
    return np.array([np.median(values[:, cell == one], 1) for one in np.unique(cell)])


def _bisquare(residual: np.ndarray, finest: np.ndarray) -> np.ndarray:
    """Return the weight of pixels by their residuals. Shapes: (C, n), (C, 1) -> (n,)."""
    residual = residual - np.median(residual, 1, keepdims=True)  # outliers move the mean of the rest
    spread = 1.4826 * np.median(np.abs(residual), 1, keepdims=True)
    distance = np.mean((residual / np.maximum(spread, np.maximum(finest, 1e-12))) ** 2, 0)
    return np.clip(1 - distance / OUTLIER**2, 0, None) ** 2
