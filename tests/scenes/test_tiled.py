"""An image in memory is cleared in the same windows, and to the same pixels, as a scene in a file."""

import numpy as np
import pytest
import torch
from test_joint import PixelModel

from declouds.errors import UserError
from declouds.models import build_model
from declouds.models.cloud_remover import CloudRemover
from declouds.samplers.ddim import DDIM
from declouds.samplers.pyramid import Pyramid
from declouds.scenes.api import remove_clouds
from declouds.scenes.sampling.noise import noise_field, noise_seed
from declouds.scenes.sampling.tiled import clear_image
from declouds.scenes.sampling.tiles import Tiling

SMALL = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())


class Pointwise(CloudRemover):
    """Looks at no neighbours, uses the noise, and remembers what it was given."""

    draws_noise = True

    def __init__(self):
        super().__init__(bands=2, in_bands=3)
        self.shapes, self.calls = [], 0

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        self.shapes.append(tuple(cloudy.shape))
        self.calls += 1
        return 0.5 * cloudy[:, :2] - 0.1 * noise


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("size", [(1, 1), (20, 90), (64, 64), (75, 101)])
def test_a_prediction_that_does_not_look_around_is_the_same_in_windows(size, batch_size):
    model, cloudy = Pointwise(), torch.rand(3, *size) * 2 - 1
    tiled = clear_image(model, cloudy, 5, Tiling(32, 8, batch_size=batch_size))
    expected = 0.5 * cloudy[:2] - 0.1 * torch.as_tensor(noise_field(5, 2, 0, 0, *size))
    torch.testing.assert_close(tiled, expected, atol=2e-6, rtol=0)
    assert max(max(shape[-2:]) for shape in model.shapes) <= 32


def test_a_batch_has_the_windows_asked_for():
    model = Pointwise()
    clear_image(model, torch.zeros(3, 40, 100), 0, Tiling(40, 10, batch_size=2))
    assert model.shapes == [(2, 3, 40, 40), (1, 3, 40, 40)]


def test_seams_are_smooth_where_neighbours_disagree():
    """Each window gives another number: the blend goes from one to the next without a step."""

    class Counts(Pointwise):
        def predict(self, cloudy, noise, **rest):
            self.calls += 1
            return torch.full_like(noise, self.calls - 1)

    row = clear_image(Counts(), torch.zeros(3, 32, 80), 0, Tiling(32, 8))[0, 5]
    assert (row[0], row[28], row[-1]) == (0, pytest.approx(0.597545, abs=1e-5), 2)
    assert row.diff().abs().max() < 0.2


def test_windows_that_do_not_advance_and_models_that_look_up_names_are_refused():
    with pytest.raises(UserError, match="overlap goes from 0 to 31"):
        clear_image(Pointwise(), torch.zeros(3, 50, 50), 0, Tiling(32, 32))
    model = type("ByName", (Pointwise,), {"needs_names": True})()
    with pytest.raises(UserError, match="looks images up by name"):
        clear_image(model, torch.zeros(3, 50, 50), 0, Tiling(32, 8))


def test_windows_are_sampled_jointly_as_in_a_scene():
    image = torch.rand(2, 90, 130, generator=torch.Generator().manual_seed(0)) - 0.5
    model, seed = PixelModel(DDIM(5)), noise_seed("a", 3)
    noise = torch.as_tensor(noise_field(seed, 2, 0, 0, 90, 130))[None]
    torch.testing.assert_close(clear_image(model, image, seed, Tiling(48, 16)), model.predict(image[None], noise)[0])
    with pytest.raises(UserError, match="--blend final"):
        clear_image(PixelModel(Pyramid()), image, seed, Tiling(48, 16))


def test_an_evaluated_image_is_what_predict_makes_of_it():
    """The same windows, blended at every step: the figures are those of what users get."""
    torch.manual_seed(0)
    model = build_model(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", predicts="clear", **SMALL),
            reference=dict(type="GainOffsetUNet", **SMALL),
            fusion=dict(type="FixedWeight", weight=0.4),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=3),
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pixels = np.random.default_rng(0).integers(0, 255, (3, 60, 70)).astype(np.uint8)
    scene = remove_clouds(pixels, model, tile=32, overlap=8, seed=9)
    evaluated = clear_image(model, torch.as_tensor(model.value_range.to_model(pixels)), 9, Tiling(32, 8))
    in_units = model.value_range.from_model(evaluated.numpy(), "uint8")
    assert np.abs(in_units.astype(int) - scene).max() <= 1
    final = clear_image(model, torch.as_tensor(model.value_range.to_model(pixels)), 9, Tiling(32, 8, blend="final"))
    assert (final - evaluated).abs().max() > 0.01, "blended at the end it is another image"
