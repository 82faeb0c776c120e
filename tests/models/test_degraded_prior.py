"""A prior made worse on purpose, by number."""

import numpy as np
import pytest
import torch

from declouds.errors import UserError
from declouds.models import DiffusionEnhancement
from declouds.models.degraded_prior import DegradedPrior


def flat(value=0.1, bands=3, size=(20, 30), batch=1):
    return torch.full((batch, bands, *size), value)


def test_nothing_is_changed_unless_it_is_said():
    prior = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(DegradedPrior()(prior), prior)


def test_a_bias_is_added_to_every_band_and_the_result_is_clamped():
    torch.testing.assert_close(DegradedPrior(bias=0.25)(flat(0.1)), flat(0.35))
    torch.testing.assert_close(DegradedPrior(bias=-3.0)(flat(0.1)), flat(-1.0))


@pytest.mark.parametrize(
    ("bands", "tint"), [(1, [0.2]), (2, [0.2, -0.2]), (3, [0.2, 0.0, -0.2]), (5, [0.2, 0.1, 0.0, -0.1, -0.2])]
)
def test_a_tint_goes_from_the_first_band_to_the_last(bands, tint):
    result = DegradedPrior(colour=0.2)(flat(0.1, bands))
    torch.testing.assert_close(result, flat(0.1, bands) + torch.tensor(tint)[:, None, None])


def test_a_blur_is_a_gaussian_of_that_deviation_and_keeps_the_mean():
    prior = torch.full((1, 2, 41, 41), -0.5)
    prior[..., 20, 20] = 0.5
    blurred = DegradedPrior(blur=2.0)(prior) + 0.5
    at = np.arange(-6, 7)  # three deviations to each side
    bell = np.exp(-(at**2) / (2 * 2.0**2))
    expected = np.zeros((41, 41))
    expected[14:27, 14:27] = np.outer(bell, bell) / bell.sum() ** 2
    np.testing.assert_allclose(blurred[0, 0], expected, atol=1e-6)
    torch.testing.assert_close(blurred[:, 1], blurred[:, 0])
    torch.testing.assert_close(DegradedPrior(blur=2.0)(flat()), flat())  # also at the borders


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 5), (7, 8)])
def test_a_blur_wider_than_the_image_is_possible(size):
    torch.testing.assert_close(DegradedPrior(blur=4.0)(flat(0.3, size=size)), flat(0.3, size=size))


def test_the_noise_is_white_and_the_same_for_every_image_of_a_size():
    degrade = DegradedPrior(noise=0.1)
    noise = degrade(flat(0.0, size=(100, 100), batch=2))
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02) and abs(float(noise.mean())) < 0.002
    assert torch.equal(noise[0], noise[1])
    assert torch.equal(noise[:1], degrade(flat(0.0, size=(100, 100))))
    bands = torch.corrcoef(noise[0].flatten(1)) - torch.eye(3)
    assert bands.abs().max() < 0.05
    before = torch.get_rng_state()
    degrade(flat())
    assert torch.equal(before, torch.get_rng_state())


def test_blur_comes_first_and_the_clamp_last():
    prior = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    all_four = DegradedPrior(blur=1.0, colour=0.1, bias=0.2, noise=0.05)(prior)
    blurred = DegradedPrior(blur=1.0)(prior)
    noise = DegradedPrior(noise=0.05)(torch.zeros_like(prior))
    tint = torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    torch.testing.assert_close(all_four, (blurred + tint + 0.2 + noise).clamp(-1, 1))


@pytest.mark.parametrize("wrong", [dict(blur=-1.0), dict(noise=-0.1)])
def test_less_than_nothing_is_refused(wrong):
    with pytest.raises(UserError, match="degrade_prior: blur and noise must be 0 or more"):
        DegradedPrior(**wrong)


def test_a_model_samples_and_trains_with_its_degraded_prior():
    small = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
    torch.manual_seed(0)
    model = DiffusionEnhancement(
        denoiser=dict(type="ConditionalUNet", **small),
        reference=dict(type="Identity"),
        fusion=dict(type="FixedWeight", weight=1.0),
        noise_schedule=dict(type="LinearSchedule"),
        sampler=dict(type="DDIM", steps=2),
        degrade_prior=dict(bias=0.25),
    )
    cloudy, noise = flat(0.1), torch.randn(1, 3, 20, 30)
    for variant in (None, "prior"):
        torch.testing.assert_close(model.predict(cloudy, noise, variant=variant), flat(0.35))
    fuse = model.losses_per_image(flat(0.0), cloudy, noise, torch.tensor([500]))["fuse"]
    torch.testing.assert_close(fuse, torch.tensor([0.35]))
