"""Joint sampling: one noisy scene, whatever the windows."""

import copy

import numpy as np
import pytest
import torch

from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover
from declouds.noise_schedules.linear import LinearSchedule
from declouds.samplers.ddim import DDIM
from declouds.samplers.ddpm import DDPM
from declouds.samplers.pyramid import Pyramid
from declouds.scenes.api import remove_clouds
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.passes import Pass, noise_of, sampling_passes


class PixelModel(CloudRemover):
    """Diffusion whose estimate needs no neighbours, so that windows cannot show."""

    draws_noise = True
    quality_band = "weight"

    def __init__(self, sampler, schedule=None):
        super().__init__(bands=2, value_range=(0, 1))
        self.sampler, self.noise_schedule = sampler, schedule or LinearSchedule()
        self._priors = 0

    def prior(self, cloudy):
        self._priors += len(cloudy)
        return cloudy / 2

    def estimate(self, x_t, t, cloudy, prior):
        weight = torch.full_like(x_t, 0.25)
        return dict(t=t, fused=weight * prior + 0.5 * cloudy + 0.1 * x_t.tanh(), weight=weight)

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        prior = self.prior(cloudy)
        process = self.noise_schedule.bind(cloudy, prior)
        return self.sampler(lambda x_t, t: self.estimate(x_t, t, cloudy, prior)["fused"], process, noise)

    def passes(self, *, variant=None, blend="joint", samples=1, quality=False):
        if blend == "final":
            return super().passes(blend=blend, samples=samples)

        def denoise(x_t, t, process, cloudy, prior, last):
            step = self.estimate(x_t, t, cloudy, prior)
            return torch.cat([step["fused"], step["weight"][:, :1]], 1) if last and quality else step["fused"]

        prior = Pass("prior", "prior", self.bands, self.prior)
        return sampling_passes(denoise, self.sampler, self.noise_schedule, self.bands, [prior], samples, int(quality))


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0.1, 0.9, (2, 90, 130)).astype(np.float32)


TILINGS = [dict(tile=200, overlap=0), dict(tile=48, overlap=16), dict(tile=37, overlap=30), dict(tile=64, overlap=0)]


@pytest.mark.parametrize("tiling", TILINGS)
def test_a_scene_is_sampled_as_one(image, tiling):
    model = PixelModel(DDIM(5))
    noise = torch.from_numpy(noise_field(3, 2, 0, 0, 90, 130))[None]
    units = model.value_range
    whole = model.predict(torch.from_numpy(units.to_model(image))[None], noise)[0].numpy()
    result = remove_clouds(image, model, seed=3, batch_size=2, **tiling)
    np.testing.assert_allclose(result, units.from_model(whole, "float32"), atol=1e-5)


@pytest.mark.parametrize("tiling", TILINGS[1:])
def test_the_noise_of_steps_belongs_to_the_place_too(image, tiling):
    results = [remove_clouds(image, PixelModel(DDPM(4)), **options) for options in (TILINGS[0], tiling)]
    np.testing.assert_allclose(*results, atol=1e-5)
    other_seed = remove_clouds(image, PixelModel(DDPM(4)), seed=1, **tiling)
    assert np.abs(other_seed - results[0]).mean() > 0.001


def test_windows_that_are_blended_at_the_end_draw_their_own_step_noise(image):
    results = [remove_clouds(image, PixelModel(DDPM(4)), blend="final", **tiling) for tiling in TILINGS[:2]]
    assert np.abs(results[0] - results[1]).mean() > 0.001


def test_the_prior_is_computed_once_a_window(image):
    model = PixelModel(DDIM(5))
    remove_clouds(image, model, tile=48, overlap=16)
    assert model._priors == 3 * 4


def test_fields_of_noise_are_apart():
    fields = [noise_field(0, 1, 0, 0, 64, 64, noise_of(sample, step).stream) for sample in (0, 1) for step in (0, 1)]
    for index, one in enumerate(fields):
        for other in fields[:index]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.06
    np.testing.assert_array_equal(fields[0], noise_field(0, 1, 0, 0, 64, 64))


def test_the_passes_of_a_model():
    titles = [step.title for step in PixelModel(DDIM(3)).passes(samples=2)]
    assert titles == ["prior", *(f"step {step}/3 of sample {sample}" for sample in (1, 2) for step in (1, 2, 3))]
    assert [step.title for step in PixelModel(DDIM(3)).passes(blend="final")] == ["windows"]
    with pytest.raises(UserError, match=r"Pyramid cannot be sampled jointly.*use --blend final"):
        PixelModel(Pyramid()).passes()
    assert len(PixelModel(Pyramid()).passes(blend="final")) == 1


def test_a_state_is_never_read_where_it_is_written():
    """So a pass can begin again at any row."""
    for step in PixelModel(DDPM(6)).passes(samples=2, quality=True):
        assert step.output not in (*step.inputs, *step.step_inputs)


def test_a_window_that_has_no_neighbour_is_what_the_model_predicts():
    from declouds.registry import MODELS

    small = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", **small),
            reference=dict(type="GainOffsetUNet", **small),
            fusion=dict(type="WeightAllocation", **small),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=3),
        )
    )
    image = np.random.default_rng(0).integers(0, 255, (3, 40, 52)).astype(np.uint8)
    joint = remove_clouds(image, model, tile=64, overlap=16)
    final = remove_clouds(image, model, tile=64, overlap=16, blend="final")
    assert np.abs(joint.astype(int) - final).max() <= 1  # the order of float32 operations
    assert (joint != image).mean() > 0.5


class TowardsCloudy(LinearSchedule):
    """A process that ends in the cloudy image, and starts there."""

    condition = ("cloudy",)

    def bind(self, cloudy, prior=None):
        bound = copy.copy(self)
        bound.cloudy = cloudy
        return bound

    def shift(self, t):
        return (1 - self.alpha_sigma(t)[0]) * self.cloudy

    def start(self, noise):
        return self.cloudy + 0.5 * noise


class TowardsPrior(TowardsCloudy):
    """The same with the prior."""

    condition = ("prior",)

    def bind(self, cloudy, prior=None):
        return super().bind(prior)


class TwoSteps(DDIM):
    """A solver that extrapolates from the last three estimates (Adams-Bashforth)."""

    history = 2

    def step(self, clear, x_t, t, after, process, noise=None, history=()):
        if len(history) == 2:
            clear = (23 * clear - 16 * history[0].clear + 5 * history[1].clear) / 12
        elif len(history) == 1:
            clear = 1.5 * clear - 0.5 * history[0].clear
        return super().step(clear, x_t, t, after, process)


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize(
    "make", [lambda: (DDIM(4), TowardsCloudy()), lambda: (DDIM(4), TowardsPrior()), lambda: (TwoSteps(6), None)]
)
def test_processes_with_a_condition_and_solvers_with_a_history_are_sampled_as_one(image, tiling, make):
    model = PixelModel(*make())
    noise = torch.from_numpy(noise_field(3, 2, 0, 0, 90, 130))[None]
    units = model.value_range
    whole = model.predict(torch.from_numpy(units.to_model(image))[None], noise)[0].numpy()
    result = remove_clouds(image, model, seed=3, batch_size=2, **tiling)
    np.testing.assert_allclose(result, units.from_model(whole, "float32"), atol=1e-5)
    plain = PixelModel(DDIM(len(make()[0].times(LinearSchedule()))))
    assert np.abs(result - remove_clouds(image, plain, seed=3, **tiling)).max() > 1e-4
