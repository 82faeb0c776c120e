"""NAFNet as a denoiser: an offset alone, or a gain of the prior or the cloudy image besides."""

import pytest
import torch

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
