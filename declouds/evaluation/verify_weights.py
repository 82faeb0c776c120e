"""Published weights measured again: do they score here what they are said to score?"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch

from declouds.datamodules.pairs import Pair, pairs_in, read_bands
from declouds.datamodules.splits import Split, choose
from declouds.errors import UserError
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.statistics import summarise
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


def pairs_of_score(expected: Expected, root: Path) -> list[Pair]:
    """Find the images of a published score in ``root/cloud`` and ``root/label``.

    Raises:
        UserError: a folder is missing, or one of the images.
    """
    return choose(pairs_in(root), Split(expected.data_set, {"test": tuple(expected.split)}), "test")


def verify_weights(model: Any, expected: Expected, pairs: list[Pair]) -> Verification:
    """Measure ``model`` on ``pairs`` by the protocol of the published scores.

    Raises:
        UserError: an image is broken, or has another size than the scores were measured on.
    """
    pixels = hashlib.sha256()
    samples = []
    for pair in pairs:
        sample: dict[str, Any] = dict(name=pair.name)
        for key, (file,) in (("cloudy", pair.cloudy), ("clear", pair.clear)):
            image = read_bands([file])[: model.bands]  # an opacity band in a converted copy is left out
            if image.shape != (model.bands, expected.size, expected.size):
                raise UserError(
                    f"{file.path} is {' x '.join(map(str, image.shape))}, but the score is of {model.bands} x "
                    f"{expected.size} x {expected.size} (bands, height, width; {expected.data_set}): give such images"
                )
            pixels.update(image.tobytes())
            sample[key] = torch.from_numpy(model.value_range.to_model(image))
        samples.append(sample)
    (rows,) = evaluate_model(model, samples, protocols=(expected.protocol,)).values()
    means = summarise(rows, intervals=False)
    scores = [
        Score(metric, means[f"{expected.protocol}.{metric}"].mean, value, expected.tolerances[metric])
        for metric, value in expected.scores.items()
    ]
    return Verification(scores, pixels.hexdigest() == expected.pixels_digest)
