"""Models for other bands: each new band starts from the old one that is nearest in wavelength."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import build_model
from declouds.weights.file import read_weights
from declouds.weights.reband import reband, transfer
from declouds.weights.zoo import PACKAGED

RGB = (0.665, 0.56, 0.49)
WITH_NIR = (0.842, 0.665, 0.56, 0.49)
TINY = dict(width=4, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
DE = dict(
    type="DiffusionEnhancement",
    reference=dict(type="NAFNet", gain=True, **TINY),
    denoiser=dict(type="NAFDenoiser", predicts="edm", takes_prior=True, **TINY),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1, data_std=0.15),
    sampler=dict(type="DDIM", steps=2),
    fusion=dict(type="WeightAllocation", base=8, multipliers=(1, 2), blocks=1, attention_at=()),
    bands=3,
)


def with_weights(config):
    """A model of random weights, none of them zero."""
    torch.manual_seed(0)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def moved(config, model, names, wavelengths):
    config, state = reband(config, model.state_dict(), RGB, names, wavelengths)
    other = build_model(config).eval()
    other.load_state_dict(state)
    return other


def images(bands, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, bands, 24, 24, generator=generator) * 2 - 1, torch.randn(1, bands, 24, 24, generator=generator)


def test_outputs_copy_the_nearest_band_and_inputs_share_it():
    copy, share = transfer(RGB, WITH_NIR)
    assert copy.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert share.tolist() == [[0.5, 0, 0], [0.5, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_band_without_heir_goes_to_the_nearest_one_so_that_sums_stay():
    copy, share = transfer(RGB, (0.59,))  # panchromatic
    assert copy.tolist() == [[0, 1, 0]] and share.tolist() == [[1, 1, 1]]
    copy, share = transfer(RGB, (2.19, 1.61, 0.842))
    assert copy.tolist() == [[1, 0, 0]] * 3
    assert torch.allclose(share.sum(0), torch.ones(3)) and share[2, 1] == share[2, 2] == 1


@torch.no_grad()
@pytest.mark.parametrize("patch", [1, 2])
def test_a_band_given_twice_comes_back_twice(patch):
    folded = {part: dict(DE[part], patch=patch) for part in ("reference", "denoiser", "fusion")}
    config = DE | folded
    model = with_weights(config)
    double = moved(config, model, ["r", "r2", "g", "g2", "b", "b2"], [w for w in RGB for _ in range(2)])
    cloudy, noise = images(3)
    result = model.predict(cloudy, noise)
    twice = double.predict(cloudy.repeat_interleave(2, 1), noise.repeat_interleave(2, 1))
    assert torch.allclose(twice, result.repeat_interleave(2, 1), atol=1e-4)
    assert result.std() > 0.1  # of something, not of a clipped image


@torch.no_grad()
def test_the_same_number_of_bands_in_another_order():
    model = with_weights(DE)
    turned = moved(DE, model, ["blue", "green", "red"], RGB[::-1])
    cloudy, noise = images(3)
    expected = model.predict(cloudy, noise).flip(1)
    assert torch.allclose(turned.predict(cloudy.flip(1), noise.flip(1)), expected, atol=1e-4)
    assert turned.band_names == ("blue", "green", "red")


@torch.no_grad()
def test_a_grey_image_gives_the_same_prior_in_any_bands():
    model = with_weights(DE)
    cloudy = images(1)[0]
    prior = model.prior(cloudy.expand(-1, 3, -1, -1))
    for wavelengths, nearest in ((WITH_NIR, (0, 0, 1, 2)), ((2.19, 0.842), (0, 0)), ((0.59,), (1,))):
        other = moved(DE, model, list(map(str, wavelengths)), wavelengths)
        assert other.bands == len(wavelengths)
        own = other.prior(cloudy.expand(-1, len(wavelengths), -1, -1))
        assert torch.allclose(own, prior[:, list(nearest)], atol=1e-4)


def test_a_model_of_more_than_the_image_is_refused():
    with pytest.raises(UserError, match="takes more than the image"):
        reband(DE | dict(in_bands=5), {}, RGB, ["pan"], [0.6])


def test_wavelengths_of_all_bands_are_needed():
    with pytest.raises(UserError, match="3 bands, and 2 wavelengths"):
        reband(DE, {}, RGB[:2], ["pan"], [0.6])


def test_a_part_with_a_number_of_bands_of_its_own_is_refused():
    config = dict(type="OnePass", reference=dict(type="NAFNet", bands=3, in_bands=3, **TINY), bands=3)
    with pytest.raises(UserError, match="cannot be changed"):
        reband(config, build_model(config).state_dict(), RGB, ["pan"], [0.6])


def test_the_weights_of_the_package_are_for_any_bands():
    weights = read_weights(PACKAGED)
    config, state = reband(weights.config, weights.state_dict, RGB, ["nir", "red", "green", "blue"], WITH_NIR)
    assert build_model(config).load_state_dict(state) and config["bands"] == 4


@pytest.mark.parametrize("reference", ["GainOffsetUNet", "MPRNet"])
def test_other_references_can_be_moved_too(reference):
    small = dict(MPRNet=dict(features=8, level_step=4, full_step=4, full_blocks=1)).get(reference, {})
    config = dict(type="OnePass", reference=dict(type=reference, **small), bands=3)
    model = with_weights(config)
    assert moved(config, model, ["a", "b", "c", "d"], WITH_NIR).predict(images(4)[0]).shape == (1, 4, 24, 24)
