"""The method: what is fused, what is trained by what, and what does not change."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import DiffusionEnhancement, OnePass

SMALL = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())


def build(**changes):
    torch.manual_seed(0)
    parts = dict(
        denoiser=dict(type="ConditionalUNet", **SMALL),
        reference=dict(type="GainOffsetUNet", **SMALL),
        fusion=dict(type="WeightAllocation", **SMALL),
        noise_schedule=dict(type="LinearSchedule"),
        sampler=dict(type="DDIM", steps=3),
    )
    model = DiffusionEnhancement(**{**parts, **changes})
    for parameter in model.parameters():  # last layers start at zero: give them something to do
        torch.nn.init.normal_(parameter, std=0.1) if parameter.abs().sum() == 0 else None
    return model


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(2, 3, 12, 20, generator=generator) * 2 - 1 for _ in range(2)]


@pytest.mark.parametrize("sampler", [dict(type="DDIM", steps=3), dict(type="DDPM", steps=4), dict(type="Pyramid")])
def test_weight_one_returns_the_prior(images, sampler):
    cloudy, noise = images
    model = build(fusion=dict(type="FixedWeight", weight=1.0), sampler=sampler)
    assert torch.equal(model.predict(cloudy, noise), model.prior(cloudy))


def test_weight_zero_is_the_diffusion_alone_if_eta_allows_it(images):
    cloudy, noise = images
    model = build(fusion=dict(type="FixedWeight", weight=0.0), eta=0.0)
    alone = model.predict(cloudy, noise, fuse=False)
    assert torch.equal(model.predict(cloudy, noise), alone)
    model.eta = 0.3
    assert not torch.allclose(model.predict(cloudy, noise), alone)


def test_the_weight_is_clamped_when_sampling_and_raw_in_the_loss(images):
    cloudy, noise = images
    model = build(fusion=dict(type="FixedWeight", weight=-2.0), eta=0.3)
    steps = []
    model.predict(cloudy, noise, record=steps.append)
    assert all(torch.all(step["weight"] == 0.3) for step in steps)
    t = torch.tensor([10, 500])
    terms = model.losses_per_image(cloudy, cloudy, noise, t)
    x_t = model.noise_schedule.add_noise(cloudy, noise, t)
    with torch.no_grad():
        clear_hat = model.clear_hat(model.denoiser(x_t, t, cloudy), x_t, t, cloudy)
    raw = (cloudy + 2 * model.prior(cloudy) - 3 * clear_hat).abs().mean((1, 2, 3))
    torch.testing.assert_close(terms["fuse"], raw)


def test_each_loss_trains_its_own_part(images):
    cloudy, noise = images
    model = build()
    model.train_only(["denoiser", "fusion"])
    for term, trained, idle in (("denoise", "denoiser", "fusion"), ("fuse", "fusion", "denoiser")):
        model.zero_grad()
        model.losses_per_image(cloudy, cloudy, noise, torch.tensor([3, 700]))[term].sum().backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in getattr(model, trained).parameters())
        assert all(p.grad is None or p.grad.abs().sum() == 0 for p in getattr(model, idle).parameters())
        assert all(p.grad is None for p in model.reference.parameters())


@pytest.mark.parametrize(
    ("trained", "losses"),
    [
        (["denoiser"], {"loss_denoise"}),
        (["fusion"], {"loss_fuse"}),
        (["denoiser", "fusion"], {"loss_denoise", "loss_fuse"}),
    ],
)
def test_a_stage_has_the_losses_of_what_it_trains(images, trained, losses):
    model = build()
    model.train_only(trained)
    assert set(model.losses(images[0], images[1], ["a", "b"])) == losses


def test_frozen_parts_stay_in_evaluation_mode():
    model = build()
    model.train_only(["fusion"])
    model.train()
    assert (model.denoiser.training, model.reference.training, model.fusion.training) == (False, False, True)
    assert not any(parameter.requires_grad for parameter in model.denoiser.parameters())
    with pytest.raises(UserError, match="no part decoder to train; it has reference, denoiser, fusion"):
        model.train_only(["decoder"])


@pytest.mark.parametrize("predicts", ["noise", "clear", "velocity"])
def test_the_target_of_the_denoiser_gives_back_the_clear_image(images, predicts):
    clear, noise = images
    model = build(denoiser=dict(type="ConditionalUNet", predicts=predicts, **SMALL))
    t = torch.tensor([100, 400])
    x_t = model.noise_schedule.add_noise(clear, noise, t)
    target = model._target(clear, noise, t)
    torch.testing.assert_close(model.clear_hat(target, x_t, t, clear), clear, atol=1e-4, rtol=0)


def test_bands_are_stated_once(images):
    torch.manual_seed(0)
    model = build(bands=2, in_bands=5, reference=None, fusion=None)
    cloudy, noise = torch.randn(1, 5, 9, 7), torch.randn(1, 2, 9, 7)
    assert model.predict(cloudy, noise).shape == (1, 2, 9, 7)


def test_a_fusion_without_a_reference_is_refused():
    with pytest.raises(UserError, match="a fusion needs a prior"):
        build(reference=None)
    with pytest.raises(UserError, match="no reference, so it has no prior"):
        build(reference=None, fusion=None).prior(torch.zeros(1, 3, 8, 8))


def test_one_pass_is_supervised_on_every_output(images):
    cloudy, clear = images
    config = dict(type="MPRNet", features=8, level_step=4, full_step=4, full_blocks=1)
    model = OnePass(reference=config, losses=[dict(type="L1"), dict(type="Edge", weight=0.5)])
    model.train_only(["reference"])
    losses = model.losses(cloudy, clear, ["a", "b"])
    expected = sum(
        (output - clear).abs().mean() for output in model.reference.training_outputs(cloudy, clear)["restorations"]
    )
    torch.testing.assert_close(losses["loss_0_l1"], expected)
    assert set(losses) == {"loss_0_l1", "loss_1_edge"}
    assert model.predict(cloudy).shape == cloudy.shape
