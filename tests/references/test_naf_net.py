"""NAFNet: the published sizes, the equations of its block, and the contract of a reference."""

import pytest
import torch
import torch.nn.functional as F

from declouds.errors import UserError
from declouds.layers.naf_unet import LayerNorm2d, NAFBlock, simple_gate
from declouds.references.naf_net import NAFNet
from declouds.registry import REFERENCES

SMALL = dict(width=8, encoder_blocks=(1, 2), middle_blocks=1, decoder_blocks=(1, 1))


def small(**arguments):
    torch.manual_seed(0)
    network = REFERENCES.build(dict(type="NAFNet", **{**SMALL, **arguments}))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "scale" in name:  # blocks start as the identity
                parameter.normal_()
    return network


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_published_sizes():
    with torch.device("meta"):
        networks = [
            NAFNet(),
            NAFNet(width=64),
            NAFNet(encoder_blocks=(2, 2, 4, 8), middle_blocks=12, decoder_blocks=(2, 2, 2, 2)),
        ]
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    # 17.11 M and 67.89 M of the deblurring networks; 29.16 M of the denoising network, as its authors count it.
    assert counts == [17_111_907, 67_888_835, 29_159_715]


def test_a_block_starts_as_the_identity_and_follows_its_equations():
    torch.manual_seed(0)
    block, x = NAFBlock(6), torch.randn(2, 6, 5, 7)
    assert torch.equal(block(x), x)
    torch.nn.init.normal_(block.scale1)
    torch.nn.init.normal_(block.scale2)

    def pixelwise(layer, values):
        return torch.einsum("oi,bihw->bohw", layer.weight.flatten(1), values) + layer.bias[:, None, None]

    def norm(values):
        deviation = (values.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        return (values - values.mean(1, keepdim=True)) / deviation

    hidden = F.conv2d(pixelwise(block.spread1, norm(x)), block.depthwise.weight, block.depthwise.bias, 1, 1, 1, 12)
    hidden = hidden[:, :6] * hidden[:, 6:]
    hidden = hidden * pixelwise(block.attention, hidden.mean((2, 3))[..., None, None])
    y = x + block.scale1 * pixelwise(block.gather1, hidden)
    hidden = pixelwise(block.spread2, norm(y))
    expected = y + block.scale2 * pixelwise(block.gather2, hidden[:, :6] * hidden[:, 6:])
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


def test_the_norm_is_per_pixel_and_the_gate_a_product():
    x = images(1, 4, 3, 5)
    normed = LayerNorm2d(4)(x)
    torch.testing.assert_close(normed.mean(1), torch.zeros(1, 3, 5), rtol=0, atol=1e-6)
    torch.testing.assert_close(normed.var(1, unbiased=False), torch.ones(1, 3, 5), rtol=0, atol=1e-3)
    assert torch.equal(simple_gate(x), x[:, :2] * x[:, 2:])


@pytest.mark.parametrize(("bands", "in_bands"), [(1, 1), (4, 4), (13, 13), (3, 5)])
def test_any_number_of_bands(bands, in_bands):
    prior = small(bands=bands, in_bands=in_bands)(images(2, in_bands, 12, 9))
    assert prior.shape == (2, bands, 12, 9)
    assert prior.abs().max() <= 1


@pytest.mark.parametrize("size", [(37, 50), (5, 7), (1, 9), (1, 1)])
def test_any_size(size):
    prior = small().eval()(images(1, 3, *size))
    assert prior.shape == (1, 3, *size)
    assert prior.isfinite().all()


def test_it_corrects_the_cloudy_image():
    network, cloudy = small(), images(1, 5, 13, 18)[:, :3]
    torch.nn.init.zeros_(network.last.weight)
    torch.nn.init.zeros_(network.last.bias)
    assert torch.equal(network(cloudy), cloudy)
    torch.nn.init.constant_(network.last.bias, 3.0)
    (restoration,) = network.training_outputs(cloudy, cloudy)["restorations"]
    torch.testing.assert_close(restoration, cloudy + 3)
    assert (network(cloudy) == 1).all()


def test_every_parameter_gets_a_finite_gradient():
    network, cloudy = small(), images(2, 3, 13, 18)
    network.training_outputs(cloudy, cloudy)["restorations"][0].square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_bfloat16_stays_near_float32():
    network, cloudy = small().eval(), images(1, 3, 32, 32)
    with torch.no_grad():
        exact = network(cloudy)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(cloudy)
    assert (rough - exact).abs().max() < 0.1


def test_levels_that_do_not_match_are_a_user_error():
    with pytest.raises(UserError, match="same length, got 2 and 3"):
        REFERENCES.build(dict(type="NAFNet", **{**SMALL, "decoder_blocks": (1, 1, 1)}))


def test_a_gain_multiplies_the_cloudy_image():
    network, cloudy = small(gain=True).eval(), images(1, 3, 32, 32)
    with torch.no_grad():
        network.last.weight.zero_()
        network.last.bias.copy_(torch.tensor([0.1, 0.2, -0.1, 0.5, 0.0, -0.5]))
        gain, offset = torch.tensor([[1.5, 1.0, 0.5], [0.1, 0.2, -0.1]])[..., None, None]
        assert torch.allclose(network(cloudy), (gain * cloudy + offset).clamp(-1, 1), atol=1e-6)


def test_patches_are_folded_into_channels():
    network, cloudy = small(patch=4).eval(), images(1, 3, 32, 48)
    folded = torch.nn.functional.pixel_unshuffle(cloudy, 4)
    with torch.no_grad():
        network.last.weight.zero_()
        bias = torch.linspace(-0.5, 0.5, 48)  # one for each band and place in a patch
        network.last.bias.copy_(bias)
        assert network.first.in_channels == 48
        expected = torch.nn.functional.pixel_shuffle(folded + bias[:, None, None], 4)
        torch.testing.assert_close(network(cloudy), expected.clamp(-1, 1))


@pytest.mark.parametrize("size", [(37, 50), (5, 7), (1, 1)])
def test_patches_fit_any_size(size):
    assert small(patch=4).eval()(images(1, 3, *size)).shape == (1, 3, *size)


def test_patches_of_no_pixel_are_a_user_error():
    with pytest.raises(UserError, match="patch = 0: give a number of pixels, at least 1"):
        REFERENCES.build(dict(type="NAFNet", **SMALL, patch=0))
