"""Joint sampling with a cloud mask: clear pixels and windows are left alone, cloudy ones are what they would be."""

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from test_joint import PixelModel

from declouds.models import build_model
from declouds.samplers.ddim import DDIM
from declouds.samplers.ddpm import DDPM
from declouds.scenes.api import remove_clouds
from declouds.scenes.sampling.tiles import windows

SIZE, STEPS = (150, 170), 4
TILING = dict(tile=48, overlap=16)
GRID = windows(*SIZE, **TILING)


class Watched(PixelModel):
    """Counts the windows that each step computes."""

    def __init__(self, sampler):
        super().__init__(sampler)
        self.seen = {}

    def estimate(self, x_t, t, cloudy, prior):
        for time in t.tolist():
            self.seen[time] = self.seen.get(time, 0) + 1
        return super().estimate(x_t, t, cloudy, prior)


class Looks(Watched):
    """Sees one pixel to each side, so that after some steps a window knows of others."""

    def estimate(self, x_t, t, cloudy, prior):
        near = torch.nn.functional.avg_pool2d(x_t, 3, 1, 1)
        return super().estimate(near, t, cloudy, prior)


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0.1, 0.9, (2, *SIZE)).astype(np.float32)


@pytest.fixture
def cloud():
    """Two clouds, with rows and columns of windows between them that have none."""
    cloud = np.zeros(SIZE, bool)
    cloud[5:20, 8:30] = True
    cloud[118:150, 130:160] = True
    return cloud


def cloudy_windows(cloud):
    return [window for window in GRID if cloud[window.slices].any()]


@pytest.mark.parametrize("sampler", [DDIM(STEPS), DDPM(STEPS)], ids=["ddim", "ddpm"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_clear_pixels_stay_and_cloudy_ones_are_those_of_the_whole_scene(image, cloud, sampler, batch_size):
    options = dict(seed=3, batch_size=batch_size, **TILING)
    result = remove_clouds(image, PixelModel(sampler), mask=cloud, **options)
    everywhere = remove_clouds(image, PixelModel(sampler), **options)
    np.testing.assert_array_equal(result[:, ~cloud], image[:, ~cloud])
    np.testing.assert_array_equal(result[:, cloud], everywhere[:, cloud])
    assert np.abs(result - image)[:, cloud].mean() > 0.01


def test_windows_without_cloud_cost_nothing_in_any_step(image, cloud):
    model = Watched(DDIM(STEPS))
    remove_clouds(image, model, mask=cloud, **TILING)
    count = len(cloudy_windows(cloud))
    assert 1 < count < len(GRID) / 2
    assert list(model.seen.values()) == [count] * STEPS
    assert model._priors == count
    model = Watched(DDIM(STEPS))
    np.testing.assert_array_equal(remove_clouds(image, model, mask=np.zeros(SIZE, bool), **TILING), image)
    assert not model.seen and model._priors == 0


def test_a_window_that_is_left_out_is_missed_by_its_neighbours_alone(image, cloud):
    """A pixel is what it would be, unless what it saw in some step lies in a window that was left out."""
    cloud[16:25, 20:64] = True  # to the edge of the window behind
    result = remove_clouds(image, Looks(DDIM(STEPS)), mask=cloud, **TILING)
    everywhere = remove_clouds(image, Looks(DDIM(STEPS)), **TILING)
    left_out = np.zeros(SIZE, bool)
    for window in set(GRID) - set(cloudy_windows(cloud)):
        left_out[window.slices] = True
    near = maximum_filter(left_out, 2 * STEPS + 1)
    np.testing.assert_array_equal(result[:, ~cloud], image[:, ~cloud])
    np.testing.assert_array_equal(result[:, cloud & ~near], everywhere[:, cloud & ~near])
    assert (cloud & ~near).sum() > 500
    assert (result != everywhere)[:, cloud & near].any()


class FlatPrior(PixelModel):
    """A prior of the same value everywhere, of which nothing may be missing where a neighbour was left out."""

    def prior(self, cloudy):
        return torch.full_like(cloudy, 0.5)

    def estimate(self, x_t, t, cloudy, prior):
        torch.testing.assert_close(prior, torch.full_like(prior, 0.5))
        return super().estimate(x_t, t, cloudy, prior)


def test_what_is_blended_is_a_mean_of_the_windows_that_there_are(image, cloud):
    remove_clouds(image, FlatPrior(DDIM(STEPS)), mask=cloud, **TILING)


def test_with_cloud_in_every_window_a_network_gives_what_it_gives_without_a_mask(image):
    small = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
    torch.manual_seed(0)
    model = build_model(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", predicts="clear", **small),
            reference=dict(type="GainOffsetUNet", **small),
            fusion=dict(type="WeightAllocation", **small),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=2),
            bands=2,
            value_range=(0, 1),
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    image, tiling = image[:, :50, :60], dict(tile=32, overlap=8)
    cloud = np.zeros(image.shape[1:], bool)
    cloud[10::15, 7::15] = True
    assert all(cloud[window.slices].any() for window in windows(50, 60, **tiling))
    result, everywhere = (remove_clouds(image, model, mask=mask, **tiling) for mask in (cloud, None))
    np.testing.assert_array_equal(result, np.where(cloud, everywhere, image))
    assert (everywhere != image).mean() > 0.9


def test_the_rim_of_a_cloud_is_a_mixture_and_no_wider_than_the_mask(image, cloud):
    feather = 3
    result = remove_clouds(image, PixelModel(DDIM(STEPS)), mask=cloud, feather=feather, **TILING)
    everywhere = remove_clouds(image, PixelModel(DDIM(STEPS)), **TILING)
    np.testing.assert_array_equal(result[:, ~cloud], image[:, ~cloud])
    for depth in range(4):  # rows from the upper edge of the first cloud, far from its other edges
        share = min((depth + 1) / (feather + 1), 1)
        row = np.s_[:, 5 + depth, 14:24]
        np.testing.assert_allclose(result[row], share * everywhere[row] + (1 - share) * image[row], atol=1e-6)
