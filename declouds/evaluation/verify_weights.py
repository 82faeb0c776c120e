"""Measure published weights and compare with their expected scores."""

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
    """Measured and expected value of one metric."""

    metric: str
    measured: float
    expected: float
    tolerance: float

    @property
    def passes(self) -> bool:
        """Whether the difference is within the tolerance."""
        return abs(self.measured - self.expected) <= self.tolerance


class Verification(NamedTuple):
    """The scores, and whether they were measured on the same pixels as the expected ones."""

    scores: list[Score]
    same_pixels: bool

    @property
    def passes(self) -> bool:
        """Whether all scores pass."""
        return all(score.passes for score in self.scores)


def pairs_of_score(expected: Expected, root: Path) -> list[Pair]:
    """Find the images of a published score in ``root/cloud`` and ``root/label``.

    Raises:
        UserError: a folder or an image is missing.
    """
    return choose(pairs_in(root), Split(expected.data_set, {"test": tuple(expected.split)}), "test")


def verify_weights(model: Any, expected: Expected, pairs: list[Pair]) -> Verification:
    """Measure ``model`` on ``pairs`` by the protocol of the published scores.

    Raises:
        UserError: an image is damaged, or its size differs from that of the expected scores.
    """
    pixels = hashlib.sha256()
    samples = []
    for pair in pairs:
        sample: dict[str, Any] = dict(name=pair.name)
        for key, (file,) in (("cloudy", pair.cloudy), ("clear", pair.clear)):
            image = read_bands([file])[: model.bands]  # without the alpha band of converted copies
            if image.shape != (model.bands, expected.size, expected.size):
                raise UserError(
                    f"{file.path} is {' x '.join(map(str, image.shape))}, but the scores are for {model.bands} x "
                    f"{expected.size} x {expected.size} (bands, height, width): give the images of {expected.data_set}"
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
