"""Diffusion Enhancement on every process and endpoint, fused and not, with every sampler."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import build_model
from declouds.registry import NOISE_SCHEDULES, SAMPLERS
from declouds.scenes.sampling.tiled import clear_image
from declouds.scenes.sampling.tiles import Tiling
from declouds.testing import check_model

SMALL = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
NAF = dict(type="NAFDenoiser", width=8, encoder_blocks=(1,), decoder_blocks=(1,), middle_blocks=1)
BRIDGES = ["BrownianBridge", "IRSDE", "MeanReverting", "StraightPath"]


def config(process, fused=True, sampler=None, **denoiser):
    predicts = dict(predicts="edm" if process["type"] in BRIDGES else "clear")
    return dict(
        type="DiffusionEnhancement",
        denoiser=NAF | predicts | denoiser,
        reference=dict(type="GainOffsetUNet", **SMALL),
        fusion=dict(type="WeightAllocation", **SMALL) if fused else None,
        noise_schedule=process,
        sampler=sampler or dict(type="DDIM", steps=3),
    )


def built(*args, **kwargs):
    torch.manual_seed(0)
    model = build_model(config(*args, **kwargs)).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)  # away from the zeros that some layers start with
    return model


def images(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(shape, generator=generator) * 2 - 1, torch.randn(shape, generator=generator)


def ends(process):
    return ["noise", "cloudy", "prior"] if process in BRIDGES else [None]


PROCESSES = [
    dict(type=process) | ({} if end is None else dict(endpoint=end))
    for process in NOISE_SCHEDULES.names()
    for end in ends(process)
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: "-".join(process.values()))
@pytest.mark.parametrize("fused", [True, False])
def test_the_contract_of_models_holds(process, fused):
    check_model(config(process, fused))


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: "-".join(process.values()))
@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS.names()) - {"Pyramid"}))
def test_windows_without_overlap_are_sampled_as_whole_images(process, sampler):
    model = built(process, sampler=dict(type=sampler, steps=3))
    cloudy, _ = images(1, 3, 16, 16)
    alone = clear_image(model, cloudy[0], 5)
    double = clear_image(model, torch.cat([cloudy[0], cloudy[0]], -1), 5, Tiling(tile=16, overlap=0))
    if sampler in ("DDPM", "Stochastic"):  # windows draw the noise of their place, whole images that of their name
        assert double.isfinite().all()
    else:
        torch.testing.assert_close(double[..., :16], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: "-".join(process.values()))
def test_the_diffusion_is_trained_on_every_process(process):
    model = built(process, takes_prior=True)
    model.train_only(["denoiser"])
    cloudy, clear = images(2, 3, 16, 16)
    losses = model.losses(cloudy, clear.clamp(-1, 1), ["a", "b"])
    losses["loss_denoise"].backward()
    assert losses["loss_denoise"].isfinite()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.denoiser.parameters()
    )


def test_the_prior_is_a_variant_and_the_baseline_of_what_starts_from_it():
    from_prior = built(dict(type="StraightPath", endpoint="prior"), fused=False)
    assert (from_prior.method, from_prior.variants, from_prior.baseline) == ("result", ("prior",), "prior")
    from_cloudy = built(dict(type="StraightPath", endpoint="cloudy"), fused=False)
    assert (from_cloudy.variants, from_cloudy.baseline) == ((), None)
    cloudy, noise = images(1, 3, 16, 16)
    torch.testing.assert_close(from_prior.predict(cloudy, noise, variant="prior"), from_prior.prior(cloudy))


def test_a_denoiser_that_predicts_nothing_returns_where_a_bridge_starts():
    model = built(dict(type="BrownianBridge", endpoint="prior"), fused=False, predicts="residual")
    for parameter in model.denoiser.unet.last.parameters():
        parameter.data.zero_()
    cloudy, noise = images(1, 3, 16, 16)
    torch.testing.assert_close(model.predict(cloudy, noise), model.prior(cloudy))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(process=dict(type="StraightPath", endpoint="prior")), "the process ends in the prior: set a reference"),
        (dict(process=dict(type="LinearSchedule"), takes_prior=True), "the denoiser takes the prior: set a reference"),
        (dict(process=dict(type="LinearSchedule"), predicts="residual"), "LinearSchedule: predicts='residual' has no"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        build_model(config(fused=False, **changes) | dict(reference=None))
