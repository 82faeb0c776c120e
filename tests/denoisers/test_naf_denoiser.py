"""NAFNet as a denoiser: an offset alone, or a gain of the prior or the cloudy image besides."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import build_model
from declouds.registry import DENOISERS

TINY = dict(type="NAFDenoiser", width=8, encoder_blocks=(1,), decoder_blocks=(1,), middle_blocks=1)


def noise(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("takes_prior", [False, True])
def test_a_gain_scales_the_prior_or_the_bands_of_the_cloudy_image(takes_prior):
    torch.manual_seed(0)
    network = DENOISERS.build(TINY | dict(takes_prior=takes_prior, gain=True, in_bands=5))
    x_t, cloudy, prior = noise(2, 3, 8, 8, seed=0), noise(2, 5, 8, 8, seed=1), noise(2, 3, 8, 8, seed=2)
    t, images = torch.tensor([3, 900]), [prior] if takes_prior else []
    output = network.unet(torch.cat([x_t, cloudy, *images], 1), network.time_embed(torch.zeros(2, 8)))
    assert output.shape == (2, 6, 8, 8)
    offset, gain = noise(2, 3, 8, 8, seed=3), noise(2, 3, 8, 8, seed=4)
    network.unet.forward = lambda *_: torch.cat([offset, gain], 1)
    scaled = prior if takes_prior else cloudy[:, :3]
    assert torch.equal(network(x_t, t, cloudy, *images), offset + gain * scaled)


def test_without_a_gain_the_output_is_that_of_the_network():
    network = DENOISERS.build(TINY)
    offset = noise(2, 3, 8, 8, seed=3)
    network.unet.forward = lambda *_: offset
    assert torch.equal(network(noise(2, 3, 8, 8, seed=0), torch.tensor([3, 9]), noise(2, 3, 8, 8, seed=1)), offset)


def model_from_reference(reference=None, **denoiser):
    network = dict(width=8, encoder_blocks=(1,), decoder_blocks=(1,), middle_blocks=1, patch=2, gain=True)
    model = dict(
        type="DiffusionEnhancement",
        in_bands=5,
        reference=dict(type="NAFNet") | network | (reference or {}),
        denoiser=dict(type="NAFDenoiser", predicts="clear", from_reference=True) | network | denoiser,
        noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1),
        sampler=dict(type="DDIM", steps=2),
    )
    return build_model(model)


def test_from_the_reference_the_prediction_is_the_prior_at_first_at_any_time():
    torch.manual_seed(0)
    model = model_from_reference()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    cloudy, (x_t, start) = noise(2, 5, 8, 8, seed=1) / 4, noise(2, 2, 3, 8, 8, seed=0)
    times = torch.tensor([3, 900])
    prior = model.reference(cloudy)
    assert not torch.allclose(prior, cloudy[:, :3], atol=0.01)
    model.begin(["fusion"])
    assert not torch.allclose(model.denoiser(x_t, times, cloudy), prior, atol=0.01)
    model.begin(["denoiser"])
    torch.testing.assert_close(model.denoiser(x_t, times, cloudy), prior)
    torch.testing.assert_close(model.predict(cloudy, start), prior)


def test_training_from_the_reference_reaches_what_it_was_not_given():
    torch.manual_seed(0)
    model = model_from_reference()
    model.begin(["denoiser"])
    model.train_only(["denoiser"])
    trained = dict(model.denoiser.named_parameters())
    loss = model.denoiser(noise(2, 3, 8, 8, seed=0), torch.tensor([3, 900]), noise(2, 5, 8, 8, seed=1)).square().sum()
    loss.backward()
    assert trained["unet.first.weight"].grad[:, :12].abs().max() > 0


@pytest.mark.parametrize("denoiser", [dict(predicts="residual"), dict(takes_prior=True)])
def test_from_the_reference_the_clear_image_is_predicted_from_the_cloudy_one(denoiser):
    with pytest.raises(UserError, match="set predicts='clear', takes_prior=False"):
        model_from_reference(**denoiser)


@pytest.mark.parametrize("reference", [dict(width=16), dict(encoder_blocks=(2,)), dict(gain=False), dict(patch=1)])
def test_a_reference_of_other_sizes_is_refused(reference):
    with pytest.raises(UserError, match="a reference of type NAFNet with the same width, patch, gain and blocks"):
        model_from_reference(reference=reference)
