"""Further sources in training and evaluation: drawn by position, moved with the image, checked against the model."""

from pathlib import Path

import pytest
import torch

from declouds.datamodules.pair_sources import sar_source
from declouds.errors import UserError
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.load_checked import _check_sources
from declouds.models import OnePass
from declouds.sources import Source
from declouds.training.augmentation import Augmentation
from declouds.training.training_data import TrainingPatches


def batch():
    """A ramp as the image, and a source that is its negative."""
    ramp = torch.linspace(-0.8, 0.8, 64).reshape(1, 1, 8, 8)
    clear = ramp.repeat(2, 3, 1, 1)
    return dict(cloudy=torch.cat([clear, -ramp.repeat(2, 1, 1, 1)], 1), clear=clear, name=["a", "b"])


@pytest.mark.parametrize("valid", [True, False])
def test_sources_are_moved_with_the_image(valid):
    whole = batch() | (dict(valid=torch.ones(2, 1, 8, 8, dtype=torch.bool)) if valid else {})
    names = ["RandomHorizontalFlip", "RandomVerticalFlip", dict(type="RandomRotation90", times=(0, 3), p=1.0)]
    moved = 0
    for position in range(0, 12, 2):
        augmented = Augmentation(names, seed=1)(whole, [position, position + 1])
        assert augmented["cloudy"].shape == (2, 4, 8, 8)
        torch.testing.assert_close(augmented["cloudy"][:, 3:], -augmented["cloudy"][:, :1])
        torch.testing.assert_close(augmented["cloudy"][:, :3], augmented["clear"])
        moved += not torch.equal(augmented["clear"], whole["clear"])
    assert moved > 3


def test_colours_of_sources_stay():
    jitter = dict(type="ColorJitter", brightness=(0.5, 0.5), p=1.0)
    augmented = Augmentation([jitter])(batch(), [0, 1])
    assert torch.equal(augmented["cloudy"][:, 3:], batch()["cloudy"][:, 3:])
    torch.testing.assert_close((augmented["cloudy"][:, :3] + 1) / 2, (batch()["clear"] + 1) / 4, atol=1e-5, rtol=0)


class Drawn(torch.utils.data.Dataset):
    """Tells in each sample the seed it was drawn with."""

    def __len__(self):
        return 3

    def draw(self, index, seed):
        return dict(cloudy=torch.full((2, 4, 4), seed % 997 / 997), clear=torch.zeros(1, 4, 4), name=str(index))


def test_each_position_of_the_stream_draws_for_itself():
    first, again = (TrainingPatches(Drawn(), seed=5) for _ in range(2))
    seen = {first[position]["cloudy"][0, 0, 0].item() for position in range(12)}
    assert len(seen) > 9
    assert torch.equal(first[7]["cloudy"], again[7]["cloudy"])


def test_evaluation_measures_the_image_without_its_sources():
    sar = Source("sar", "sar", ("VV",), (-25, 0))
    image = Source("image", "optical", ("1", "2"), (0, 255))
    inputs = [source.config() for source in (image, sar)]
    model = OnePass(reference=dict(type="Identity"), losses=[], bands=2, in_bands=3, inputs=inputs)
    clear = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    samples = [dict(cloudy=torch.cat([clear + 0.2, torch.ones(1, 16, 16)]), clear=clear, name="a")]
    (row,) = evaluate_model(model, samples)[model.method]
    assert row["standard.mae"] == pytest.approx(0.2, rel=1e-4)
    assert row["image.change"] == pytest.approx(0.2, rel=1e-4)
    assert row["signature.cloud_left"] == pytest.approx(1, rel=1e-4)


def test_weights_and_data_with_other_sources_do_not_go_together():
    linear = Source("sar", "sar", ("VV", "VH"), (0.0, 1.0))
    with pytest.raises(UserError) as raised:
        _check_sources(Path("model.pth"), (sar_source(),), (linear,))
    assert str(raised.value) == (
        "model.pth: the model was trained with the sources sar (VV, VH; -25 to 0, -32.5 to 0), and the data have "
        "sar (VV, VH; 0 to 1): give the data the same sources in the same order"
    )
    _check_sources(Path("model.pth"), (sar_source(),), (sar_source(),))
    _check_sources(Path("model.pth"), (), (linear,))  # a model from before sources were recorded
