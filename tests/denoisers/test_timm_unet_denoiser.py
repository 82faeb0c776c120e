"""The denoiser on encoders of timm: three families, conditioned on the time, at home in Diffusion Enhancement."""

import pytest
import torch

from declouds.errors import UserError
from declouds.layers.encoder_unet import FiLM
from declouds.models import build_model
from declouds.registry import DENOISERS

ENCODERS = ("convnext_atto", "resnet10t", "pvt_v2_b0")


def build(encoder="test_convnext", **arguments):
    return DENOISERS.build(dict(type="TimmUNet", encoder=encoder, base=8, **arguments))


def awake(network):
    """Move the layers that start at zero, so that everything has an effect."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_three_families_of_encoders(encoder):
    torch.manual_seed(0)
    network, x_t, cloudy = awake(build(encoder)), noise(2, 3, 21, 34), noise(2, 3, 21, 34, seed=1)
    t = torch.tensor([3, 900])
    prediction = network(x_t, t, cloudy)
    assert prediction.shape == x_t.shape
    prediction.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert network.time_embed[0].weight.grad.any()
    with torch.no_grad():  # in training mode, too, images do not touch each other
        torch.testing.assert_close(network(x_t[1:], t[1:], cloudy[1:]), prediction[1:].detach(), rtol=0, atol=1e-4)


def test_every_level_knows_the_time():
    torch.manual_seed(0)
    network = awake(build()).eval()
    levels = {name: module for name, module in network.named_modules() if isinstance(module, FiLM)}
    blocks = {f"unet.decoder.{number}": block for number, block in enumerate(network.unet.decoder)}
    blocks |= {f"unet.stem_blocks.{number}": block for number, block in enumerate(network.unet.stem_blocks)}
    assert len(levels) == 4
    assert len(blocks) == 5 + 2
    outputs = {}
    for name, module in {**levels, **blocks}.items():
        module.register_forward_hook(lambda module, _, output, name=name: outputs.setdefault(name, []).append(output))
    image = noise(1, 3, 32, 32)
    with torch.no_grad():
        for t in (0, 500):
            network(image, torch.tensor([t]), image)
    for name, (first, second) in outputs.items():
        assert (first - second).abs().max() > 1e-3, name


def test_both_images_matter():
    torch.manual_seed(0)
    network, image, t = awake(build()).eval(), noise(1, 3, 32, 32), torch.tensor([100])
    with torch.no_grad():
        before = network(image, t, image)
        assert (network(-image, t, image) - before).abs().max() > 1e-2
        assert (network(image, t, -image) - before).abs().max() > 1e-2


@pytest.mark.parametrize("size", [(37, 50), (1, 9), (1, 1)])
def test_any_size(size):
    prediction = awake(build(bands=1, in_bands=4)).eval()(noise(1, 1, *size), torch.tensor([5]), noise(1, 4, *size))
    assert prediction.shape == (1, 1, *size)
    assert prediction.isfinite().all()


@pytest.mark.parametrize("predicts", ["noise", "clear", "velocity"])
def test_it_is_a_denoiser_of_diffusion_enhancement(predicts):
    torch.manual_seed(0)
    model = build_model(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="TimmUNet", encoder="test_resnet", base=8, predicts=predicts),
            reference=dict(type="TimmUNet", encoder="test_convnext", base=8),
            fusion=dict(type="FixedWeight", weight=0.5),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=2),
            bands=4,
        )
    )
    assert model.denoiser.predicts == predicts
    model.train_only(["denoiser"])
    cloudy = noise(2, 4, 19, 23).clamp(-1, 1)
    (loss,) = model.losses(cloudy, cloudy.flip(0), ["a", "b"]).values()
    loss.backward()
    assert loss > 0
    assert model.denoiser.unet.out[-1].weight.grad.any()
    assert all(parameter.grad is None for parameter in model.reference.parameters())
    model.eval()
    assert model.predict(cloudy, noise(2, 4, 19, 23, seed=2)).abs().max() <= 1


def test_an_unknown_prediction_is_a_user_error():
    with pytest.raises(UserError, match=r"predicts must be one of noise, clear, .*, got 'epsilon'"):
        build(predicts="epsilon")
