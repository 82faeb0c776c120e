"""Published weights measured again: do they score here what they are said to score?"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from declouds.errors import UserError
from declouds.metrics.evaluate_model import evaluate_model
from declouds.pairs.folders import pairs_in
from declouds.pairs.pair import Pair, read_bands
from declouds.pairs.splits import Split, choose
from declouds.report.statistics import summarise
from declouds.weights.zoo import Expected


class Score(NamedTuple):
    """One metric: what was measured, and what was to be."""

    metric: str
    measured: float
    expected: float
    tolerance: float

    @property
    def passes(self) -> bool:
        """Whether the difference is within the tolerance."""
        return abs(self.measured - self.expected) <= self.tolerance


class Verification(NamedTuple):
    """The scores, and whether they were measured on the very pixels that the expected ones were."""

    scores: list[Score]
    same_pixels: bool

    @property
    def passes(self) -> bool:
        """Whether every score does."""
        return all(score.passes for score in self.scores)


def pairs_of_score(expected: Expected, root: Path, bands: int) -> list[Pair]:
    """Find the images of a published score in ``root/cloud`` and ``root/label``.

    Raises:
        UserError: a folder is missing, or one of the images.
    """
    chosen = tuple(range(1, bands + 1))  # an opacity band in a converted copy is no fourth one
    split = Split(expected.data_set, {"test": expected.split})
    return choose(pairs_in(root, bands=chosen), split, "test")


def verify_weights(model: Any, expected: Expected, pairs: list[Pair]) -> Verification:
    """Measure ``model`` on ``pairs`` by the protocol of the published scores.

    Raises:
        UserError: an image is broken, or has another size than the scores were measured on.
    """
    pixels = hashlib.sha256()
    samples = []
    for pair in pairs:
        cloudy, clear = read_bands(pair.cloudy), read_bands(pair.clear)
        for image, file in ((cloudy, pair.cloudy[0].path), (clear, pair.clear[0].path)):
            if image.shape[-2:] != (expected.size, expected.size):
                raise UserError(
                    f"{file} is {image.shape[-2]}x{image.shape[-1]}, but the score is of {expected.size}x{expected.size} "
                    f"images ({expected.data_set}): give images of that size"
                )
            pixels.update(np.ascontiguousarray(image))
        units = model.value_range
        images = dict(cloudy=torch.from_numpy(units.to_model(cloudy)), clear=torch.from_numpy(units.to_model(clear)))
        samples.append(dict(images, name=pair.name))
    (rows,) = evaluate_model(model, samples, protocols=(expected.protocol,)).values()
    means = summarise(rows, intervals=False)
    scores = [
        Score(metric, means[f"{expected.protocol}.{metric}"].mean, value, expected.tolerances[metric])
        for metric, value in expected.scores.items()
    ]
    return Verification(scores, pixels.hexdigest() == expected.pixels_digest)
