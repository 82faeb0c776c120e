"""The two losses of Diffusion Enhancement, computed by hand from its equations, and what their gradients train."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from declouds.models import DiffusionEnhancement

OUTPUT, WEIGHT = 0.3, 0.6  # of denoiser and fusion, at every pixel
ABAR = np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000))
T = np.array([0, 250, 999])  # hardly any noise, some, nothing else
VALID = np.random.default_rng(0).random((3, 1, 5, 4)) < 0.7


class OneNumber(nn.Module):
    """One learned number everywhere, as denoiser and as fusion."""

    predicts: ClassVar = "noise"

    def __init__(self, value, predicts="noise"):
        super().__init__()
        self.value, self.predicts = nn.Parameter(torch.tensor(value)), predicts

    def forward(self, image, *others):
        return self.value.expand_as(image)


def build(predicts="noise", loss=None):
    return DiffusionEnhancement(
        denoiser=dict(type=OneNumber, value=OUTPUT, predicts=predicts),
        reference=dict(type="Identity"),
        fusion=dict(type=OneNumber, value=WEIGHT),
        noise_schedule=dict(type="LinearSchedule"),
        sampler=dict(type="DDIM"),
        diffusion_loss=loss,
        bands=2,
    )


def images():
    random = np.random.default_rng(1)
    clear, cloudy = random.uniform(-1, 1, (2, 3, 2, 5, 4))
    return clear, cloudy, random.standard_normal(clear.shape)


def losses_by_hand(predicts, gamma, valid):
    """Return the loss of the denoiser and of the fusion, for each image, and the fusion's gradient."""
    clear, cloudy, noise = images()
    alpha, sigma = (np.sqrt(one[T])[:, None, None, None] for one in (ABAR, 1 - ABAR))
    x_t = alpha * clear + sigma * noise
    target = dict(noise=noise, clear=clear, velocity=alpha * noise - sigma * clear)[predicts]
    clear_hat = dict(
        noise=(x_t - sigma * OUTPUT) / alpha, clear=np.full_like(x_t, OUTPUT), velocity=alpha * x_t - sigma * OUTPUT
    )[predicts].clip(-1, 1)
    snr = (ABAR / (1 - ABAR))[T]
    share = 1 if gamma is None else np.minimum(snr, gamma) / dict(noise=snr, clear=1, velocity=snr + 1)[predicts]
    fused = WEIGHT * cloudy + (1 - WEIGHT) * clear_hat
    denoise = share * (valid * (target - OUTPUT) ** 2).mean((1, 2, 3))
    slope = share * (valid * 2 * (OUTPUT - target)).mean((1, 2, 3))
    fuse = (valid * np.abs(clear - fused)).mean((1, 2, 3))
    fuse_slope = (valid * np.sign(fused - clear) * (cloudy - clear_hat)).mean((1, 2, 3))
    return dict(denoise=denoise, fuse=fuse), dict(denoiser=slope, fusion=fuse_slope)


def losses_of(model, valid):
    clear, cloudy, noise = (torch.from_numpy(image).float() for image in images())
    mask = None if valid is None else torch.from_numpy(valid)
    return model.losses_per_image(clear, cloudy, noise, torch.from_numpy(T), valid=mask)


every = pytest.mark.parametrize(
    ("predicts", "gamma", "valid"),
    [
        (predicts, gamma, valid)
        for predicts in ("noise", "clear", "velocity")
        for gamma in (None, 5.0, 0.5)
        for valid in (None, VALID)
    ],
    ids=lambda value: "masked" if isinstance(value, np.ndarray) else str(value),
)


def loss_config(gamma):
    return dict(type="UniformLoss") if gamma is None else dict(type="MinSNR", gamma=gamma)


@every
def test_the_losses_are_those_of_the_equations(predicts, gamma, valid):
    expected, _ = losses_by_hand(predicts, gamma, 1.0 if valid is None else valid)
    terms = losses_of(build(predicts, loss_config(gamma)), valid)
    for term, values in expected.items():
        np.testing.assert_allclose(terms[term].detach(), values, rtol=1e-4, err_msg=term)


@every
def test_the_l1_trains_the_fusion_alone_and_the_mse_the_denoiser_alone(predicts, gamma, valid):
    _, slopes = losses_by_hand(predicts, gamma, 1.0 if valid is None else valid)
    model = build(predicts, loss_config(gamma))
    model.train_only(["denoiser", "fusion"])
    sum(term.sum() for term in losses_of(model, valid).values()).backward()
    for part, slope in slopes.items():
        assert float(getattr(model, part).value.grad) == pytest.approx(slope.sum(), rel=1e-3), part


def test_all_timesteps_count_alike_by_default():
    expected, _ = losses_by_hand("noise", None, 1.0)
    np.testing.assert_allclose(losses_of(build(), None)["denoise"].detach(), expected["denoise"], rtol=1e-4)


def test_a_batch_is_trained_on_the_mean_of_its_images_with_times_and_noise_of_their_own():
    clear, cloudy = (torch.from_numpy(image).float().repeat(8, 1, 1, 1) for image in images()[:2])
    model, drawn = build(), {}
    model.train_only(["denoiser", "fusion"])
    of_each = model.losses_per_image

    def watched(clear, cloudy, noise, t, **more):
        drawn.update(noise=noise, t=t)
        return of_each(clear, cloudy, noise, t, **more)

    model.losses_per_image = watched
    losses = model.losses(cloudy, clear, [""] * 24)
    again = of_each(clear, cloudy, **drawn)
    assert len(set(drawn["t"].tolist())) > 15
    assert drawn["noise"].shape == clear.shape
    assert set(losses) == {"loss_denoise", "loss_fuse"}
    for term in ("denoise", "fuse"):
        torch.testing.assert_close(losses[f"loss_{term}"], again[term].mean())


def test_the_noise_is_standard_normal_and_of_every_value_its_own():
    model, drawn = build(), []
    model.losses_per_image = lambda clear, cloudy, noise, t, **more: drawn.append(noise) or {"denoise": noise.mean()}
    model.train_only(["denoiser"])
    image = torch.zeros(16, 2, 32, 32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(2):
            model.losses(image, image, [""] * 16)
    noise = torch.stack(drawn).double().reshape(64, 1024)  # 2 iterations x 16 images x 2 bands, each a row
    spread = 1 / noise.numel() ** 0.5
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):  # of the standard normal
        assert abs(float((noise**power).mean()) - moment) < 4 * variance**0.5 * spread
    alike = torch.corrcoef(noise) - torch.eye(64)
    assert alike.abs().max() < 5 / 1024**0.5
    neighbours = torch.corrcoef(torch.stack([noise[:, 1:].flatten(), noise[:, :-1].flatten()]))[0, 1]
    assert abs(float(neighbours)) < 4 * spread
