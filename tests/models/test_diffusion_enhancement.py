"""The method: what is fused, what is trained by what, and what does not change."""

import copy

import pytest
import torch

from declouds.errors import UserError
from declouds.models import DiffusionEnhancement, OnePass
from declouds.noise_schedules.linear import LinearSchedule
from declouds.registry import NOISE_SCHEDULES

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
    alone = model.predict(cloudy, noise, variant="diffusion")
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
        clear_hat = model.estimate(x_t, t, cloudy, None, model.noise_schedule)["clear_hat"]
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
    process = model.noise_schedule.bind(clear)
    x_t = process.add_noise(clear, noise, t)
    target = process.target(clear, noise, t, predicts)
    expected = dict(
        noise=noise, clear=clear, velocity=process.alpha_sigma(t)[0] * noise - process.alpha_sigma(t)[1] * clear
    )
    torch.testing.assert_close(target, expected[predicts])
    torch.testing.assert_close(process.clear_from(target, x_t, t, predicts), clear, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="noise, clear, velocity"):
        process.clear_from(target, x_t, t, "score")


class TowardsCloudy(LinearSchedule):
    """A process that ends in the cloudy image."""

    condition = ("cloudy",)

    def bind(self, cloudy, prior=None):
        bound = copy.copy(self)
        bound.cloudy = cloudy
        return bound

    def shift(self, t):
        return (1 - self.alpha_sigma(t)[0]) * self.cloudy


def test_a_process_that_ends_in_the_cloudy_image_needs_no_new_argument(images):
    """Training, sampling and fusion work on it, and what it adds to x_t is seen by the denoiser."""
    cloudy, noise = images
    clear = cloudy.flip(0)
    NOISE_SCHEDULES.register_module(module=TowardsCloudy, force=True)
    try:
        model = build(
            noise_schedule=dict(type="TowardsCloudy"), denoiser=dict(type="ConditionalUNet", predicts="clear", **SMALL)
        )
    finally:
        del NOISE_SCHEDULES.module_dict["TowardsCloudy"]
    seen = []
    model.denoiser.forward = lambda x_t, t, cloudy: seen.append(x_t) or clear
    t = torch.tensor([999, 500])
    terms = model.losses_per_image(clear, cloudy, noise, t)
    assert terms["denoise"].abs().max() == 0
    alpha, sigma = model.noise_schedule.alpha_sigma(t)
    torch.testing.assert_close(seen[0], alpha * clear + (1 - alpha) * cloudy + sigma * noise)
    torch.testing.assert_close(model.predict(cloudy, noise, variant="diffusion"), clear)


def test_eta_is_a_number_from_0_to_1():
    for eta in ("0,3", (0, 3), 1.5, True):
        with pytest.raises(UserError, match="eta must be a number from 0 to 1"):
            build(eta=eta)


def test_the_loss_weighs_timesteps_as_the_config_says(images):
    """Min-SNR for a prediction of the noise: min(SNR, 5) / SNR, SNR = alpha^2 / sigma^2."""
    cloudy, noise = images
    model = build(diffusion_loss=dict(type="MinSNR", gamma=5.0))
    plain = build()
    plain.load_state_dict(model.state_dict())
    t = torch.tensor([10, 900])
    weighted, unweighted = (one.losses_per_image(cloudy, cloudy, noise, t)["denoise"] for one in (model, plain))
    alpha, sigma = (value.flatten() for value in model.noise_schedule.alpha_sigma(t))
    snr = (alpha / sigma) ** 2
    assert snr[0] > 5 > snr[1]
    torch.testing.assert_close(weighted / unweighted, torch.tensor([5 / float(snr[0]), 1.0]))


def test_a_stage_is_trained_by_the_parts_that_it_needs():
    config = dict(
        type="DiffusionEnhancement", reference=dict(type="A"), denoiser=dict(type="B"), fusion=dict(type="C"), bands=4,
        noise_schedule=dict(type="LinearSchedule"),
    )  # fmt: skip
    of = DiffusionEnhancement.training_config
    assert of(config, ["denoiser"], {}) == {**config, "reference": None, "fusion": None, "degrade_prior": None}
    assert of(config, ["fusion"], {}) == of(config, ["denoiser", "fusion"], {}) == config
    for entry in (dict(noise_schedule=dict(type="IRSDE", endpoint="prior")), dict(denoiser=dict(takes_prior=True))):
        assert of(config | entry, ["denoiser"], {})["reference"] == dict(type="A")
    own = of(config, ["reference"], dict(losses=[dict(type="MSE")]))
    assert own == dict(type="OnePass", reference=dict(type="A"), losses=[dict(type="MSE")], bands=4)
    against = dict(discriminator=dict(type="PatchDiscriminator"), adversarial_loss=dict(type="SoftplusGAN"))
    assert of(config, ["reference"], against)["type"] == "Adversarial"
    with pytest.raises(UserError, match="reference, denoiser, fusion"):
        of(config, ["decoder"], {})
    with pytest.raises(UserError, match="must be set together"):
        of(config, ["reference"], dict(discriminator=dict(type="PatchDiscriminator")))


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


def test_a_fusion_with_fewer_steps_than_the_noise_schedule_is_refused():
    with pytest.raises(UserError, match="the fusion has 20 steps, the noise schedule 1000: set its num_steps=1000"):
        build(fusion=dict(type="TimeWeight", num_steps=20))
    build(fusion=dict(type="TimeWeight", num_steps=20), noise_schedule=dict(type="LinearSchedule", num_steps=20))


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


def test_pixels_without_data_are_left_out_of_the_losses(images):
    clear, noise = images
    valid = torch.ones(2, 1, 12, 20, dtype=torch.bool)
    valid[..., :5] = False
    changed = torch.where(valid, clear, clear + 0.5)
    model, t = build(denoiser=dict(type="ConditionalUNet", predicts="clear", **SMALL)), torch.tensor([10, 500])
    model.denoiser.forward = lambda x_t, t, cloudy: torch.full_like(x_t, 0.1)
    whole = model.losses_per_image(clear, clear, noise, t, fuse=False)["denoise"]
    masked = [
        model.losses_per_image(one, clear, noise, t, fuse=False, valid=valid)["denoise"] for one in (clear, changed)
    ]
    torch.testing.assert_close(masked[0], ((clear - 0.1)[..., 5:] ** 2).sum((1, 2, 3)) / clear[0].numel())
    torch.testing.assert_close(*masked)
    assert (whole > masked[0]).all()
    one_pass = OnePass(reference=dict(type="Identity"), losses=[dict(type="L1")])
    assert one_pass.losses(clear, changed, ["a", "b"], valid)["loss_0_l1"] == 0
    assert one_pass.losses(clear, changed, ["a", "b"])["loss_0_l1"] > 0.05
