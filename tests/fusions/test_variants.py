"""What each fusion promises: on what its weight depends, where it lies, and where training starts."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import build_model
from declouds.registry import FUSIONS
from declouds.testing import check_fusion

# 12 channels make 4 groups of 3: a norm of single channels would take out what the time adds to each.
SMALL = dict(base=12, multipliers=(1, 2), blocks=1, attention_at=(2,), heads=2)
ALLOCATION = dict(type="WeightAllocation", **SMALL)
IMAGES = ("clear_hat", "prior", "x_t", "cloudy")

# name -> (config, everything that its weight depends on)
FUSED = {
    "official": (ALLOCATION, {"prior", "x_t", "cloudy", "t"}),
    "folded": (dict(ALLOCATION, patch=3), {"prior", "x_t", "cloudy", "t"}),
    "sees the estimate": (dict(ALLOCATION, sees=IMAGES), {*IMAGES, "t"}),
    "timeless": (dict(ALLOCATION, timed=False), {"prior", "x_t", "cloudy"}),
    "shared": (dict(ALLOCATION, shared=True), {"prior", "x_t", "cloudy", "t"}),
    "spatial": (dict(ALLOCATION, sees=("cloudy", "prior"), timed=False, shared=True), {"prior", "cloudy"}),
    "sigmoid": (dict(type="SigmoidWeight", **SMALL), {"prior", "x_t", "cloudy", "t"}),
    "time": (dict(type="TimeWeight"), {"t"}),
    "disagreement": (dict(type="DisagreementWeight"), {"clear_hat", "prior", "t"}),
    "timm": (dict(type="TimmUNet", encoder="test_convnext", base=8), {"prior", "x_t", "cloudy", "t"}),
}
every = pytest.mark.parametrize("name", FUSED)


def build(name, *, awake=True, bands=3, in_bands=3, **arguments):
    """Build a fusion; `awake` moves what starts at zero, so that everything has an effect."""
    torch.manual_seed(0)
    net = FUSIONS.build(FUSED[name][0] | arguments, bands=bands, in_bands=in_bands).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if awake and not parameter.any():
                parameter.normal_(std=0.3)
    return net


def images(seed=0, bands=3, in_bands=3, size=(13, 18)):
    generator = torch.Generator().manual_seed(seed)
    return {
        image: torch.rand(2, in_bands if image == "cloudy" else bands, *size, generator=generator) * 2 - 1
        for image in IMAGES
    } | dict(t=torch.tensor([7 + seed, 900 + seed]))


@every
def test_the_contract(name):
    check_fusion(FUSED[name][0])


@every
def test_13_bands_of_an_odd_size(name):
    sizes = dict(bands=13, in_bands=13)
    with torch.no_grad():
        weight = build(name, **sizes)(**images(**sizes, size=(1, 5)))
    assert weight.shape == (2, 13, 1, 5)
    assert weight.isfinite().all()


@every
def test_the_weight_depends_on_what_it_says_and_on_nothing_else(name):
    net, given, others = build(name), images(), images(seed=50)
    with torch.no_grad():
        weight = net(**given)
        moved = {key for key in given if (net(**(given | {key: others[key]})) - weight).abs().max() > 1e-5}
        same = {key for key in given if torch.equal(net(**(given | {key: others[key]})), weight)}
    assert moved == FUSED[name][1]
    assert same == set(given) - moved


@every
def test_training_starts_from_pure_diffusion_or_as_near_as_a_sigmoid_is_told(name):
    weight = build(name, awake=False)(**images())
    torch.testing.assert_close(weight, torch.full_like(weight, 0.3 if name == "sigmoid" else 0.0))


def test_a_sigmoid_starts_from_the_weight_it_is_given():
    weight = build("sigmoid", awake=False, start=0.9)(**images())
    torch.testing.assert_close(weight, torch.full_like(weight, 0.9))
    for start in (0.0, 1.0, -0.5):
        with pytest.raises(UserError, match=f"between 0 and 1, exclusive, got {start}"):
            build("sigmoid", start=start)


@every
def test_the_loss_reaches_every_parameter(name):
    net, given = build(name), images()
    (net(**given) - 0.5).square().mean().backward()
    for parameter, value in net.named_parameters():
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


@every
@pytest.mark.parametrize("bands", [1, 3])
def test_weights_are_shared_by_the_bands_or_are_not(name, bands):
    weight = build(name, bands=bands, in_bands=bands)(**images(bands=bands, in_bands=bands))
    shared = torch.equal(weight, weight[:, :1].expand_as(weight))
    assert shared == (bands == 1 or name in ("shared", "spatial"))


@pytest.mark.parametrize("factor", [1, 30])
def test_a_sigmoid_bounds_what_is_raw_otherwise(factor):
    given, raw = images(), build("official")
    net = build("sigmoid", start=0.5)
    net.allocation.load_state_dict(raw.state_dict())
    with torch.no_grad():
        for network in (raw, net.allocation):
            network.unet.out[-1].weight.mul_(factor)
        weight, unbounded = net(**given), raw(**given)
    torch.testing.assert_close(weight, unbounded.sigmoid())
    assert (weight >= 0).all()
    assert (weight <= 1).all()
    assert (unbounded < 0).any()
    assert (unbounded > 1).any() or factor == 1


def test_a_sigmoid_bounds_every_variant():
    net = FUSIONS.build(dict(FUSED["spatial"][0], type="SigmoidWeight"), bands=3, in_bands=5)
    assert net.allocation.sees == ("cloudy", "prior")
    torch.testing.assert_close(net(**images(in_bands=5)), torch.full((2, 3, 13, 18), 0.3))


def test_the_curve_over_time_has_one_value_per_step_and_band():
    net = FUSIONS.build(dict(type="TimeWeight", num_steps=20), bands=2)
    with torch.no_grad():
        net.curve.copy_(torch.arange(40).reshape(20, 2) / 40)
    weight = net(**(images(bands=2) | dict(t=torch.tensor([0, 19]))))
    assert weight[:, :, 0, 0].tolist() == pytest.approx(torch.tensor([[0, 1 / 40], [38 / 40, 39 / 40]]).numpy())
    assert torch.equal(weight, weight[:, :, :1, :1].expand_as(weight))
    with pytest.raises(UserError, match=r"20 steps but got timestep 907.*set its num_steps"):
        net(**(images(bands=2) | dict(t=torch.tensor([3, 907]))))


def test_disagreement_is_symmetric_in_sign_and_local():
    net, given = build("disagreement"), images(size=(40, 40))
    with torch.no_grad():
        weight = net(**given)
        flipped = net(**(given | dict(prior=-given["prior"], clear_hat=-given["clear_hat"])))
        touched = given["prior"].clone()
        touched[:, :, 20, 20] += 1
        changed = (net(**(given | dict(prior=touched))) != weight).any(dim=(0, 1)).nonzero()
    torch.testing.assert_close(flipped, weight)
    assert changed.amin(0).tolist() == [14, 14]  # window - 1 = 6 pixels around
    assert changed.amax(0).tolist() == [26, 26]


def test_disagreement_of_flat_images_is_their_distance_alone():
    net = build("disagreement")
    seen = []
    net.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    flat = {image: torch.full((2, 3, 9, 5), value) for image, value in zip(IMAGES, (-0.25, 0.5, 0.1, 0.2), strict=True)}
    net(**flat, t=torch.tensor([0, 999]))
    expected = torch.tensor([0.75] * 6 + [0.0] * 6)[None, :, None, None].expand(2, 12, 9, 5)
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize("window", [0, 4, -3])
def test_a_window_without_a_middle_is_a_user_error(window):
    with pytest.raises(UserError, match=f"odd number, got {window}"):
        build("disagreement", window=window)


def test_pixels_that_are_folded_have_weights_of_their_own():
    weight = build("folded")(**images(size=(6, 6)))[0, 0]
    assert weight[:3, :3].flatten().unique().numel() == 9
    with pytest.raises(UserError, match="patch = 0: give a number of pixels, at least 1"):
        build("folded", patch=0)


@pytest.mark.parametrize("sees", [(), ("cloudy", "mask"), "prior"])
def test_images_that_a_fusion_is_not_given_are_a_user_error(sees):
    with pytest.raises(UserError, match="one or more of clear_hat, prior, x_t, cloudy, got"):
        build("official", sees=sees)


@every
def test_it_is_trained_and_sampled_within_diffusion_enhancement(name):
    torch.manual_seed(0)
    small = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
    model = build_model(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", **small),
            reference=dict(type="Identity"),
            fusion=FUSED[name][0],
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=3),
            bands=4,
        )
    )
    model.train_only(["fusion"])
    cloudy = images(bands=4, in_bands=4)["cloudy"]
    (loss,) = model.losses(cloudy, cloudy.flip(0), ["a", "b"]).values()
    loss.backward()
    assert any(value.grad is not None and value.grad.any() for value in model.fusion.parameters())
    assert all(value.grad is None for value in model.denoiser.parameters())
    weights = []
    model.eval().predict(cloudy, torch.randn_like(cloudy), record=lambda step: weights.append(step["weight"]))
    assert len(weights) == 3
    for weight in weights:  # eta is the least
        torch.testing.assert_close(weight, torch.full_like(cloudy, 0.3))
