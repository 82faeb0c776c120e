"""Our own models keep the contract of models, and the check finds the faults it is made for."""

from typing import ClassVar

import pytest
import torch

from declouds.models.cloud_remover import CloudRemover
from declouds.registry import MODELS
from declouds.testing import check_model

NET = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
REFERENCE = dict(type="GainOffsetUNet", **NET)
DE = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **NET),
    reference=REFERENCE,
    fusion=dict(type="WeightAllocation", **NET),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=3),
)
ADVERSARIAL = dict(
    discriminator=dict(type="PatchDiscriminator", base=8, halvings=1), adversarial_loss=dict(type="SoftplusGAN")
)


def test_diffusion_enhancement():
    check_model(DE)


def test_diffusion_enhancement_whose_reference_is_trained_against_a_discriminator():
    check_model(DE, options=dict(reference=ADVERSARIAL))


def test_plain_diffusion_with_a_sampler_that_draws_noise():
    check_model({**DE, "reference": None, "fusion": None, "sampler": dict(type="DDPM", steps=3)})


@pytest.mark.parametrize("reference", [REFERENCE, dict(type="Identity")], ids=["network", "identity"])
def test_one_pass(reference):
    check_model(dict(type="OnePass", reference=reference))


class Good(CloudRemover):
    """A gain for every band."""

    parts: ClassVar = ("gain",)

    def __init__(self, strength=1.0, **record):
        super().__init__(**record)
        self.gain = torch.nn.Conv2d(self.in_bands, self.bands, 1)
        self.train_only([])

    def losses(self, cloudy, clear, name, valid=None):
        return dict(loss=(self.gain(cloudy) - clear).abs().mean())

    @torch.no_grad()
    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return self.gain(cloudy).clamp(-1, 1)


class NoSuchEntry(Good):
    """A sampling entry that no config can have."""

    sampling_entries: ClassVar = frozenset(("steps",))


class NeedsAStranger(Good):
    """A need that is no part."""

    needs: ClassVar = dict(gain=("bias",))


class UsesNoise(Good):
    """Noise that is not declared."""

    def predict(self, cloudy, noise, **more):
        return (super().predict(cloudy, noise) + 0.1 * noise).clamp(-1, 1)


class MixesBatch(Good):
    """The mean of a batch."""

    def predict(self, cloudy, noise, **more):
        return super().predict(cloudy, noise).mean(0, keepdim=True).expand_as(noise)


class Forgets(Good):
    """A random number that no state dict holds."""

    def __init__(self, **record):
        super().__init__(**record)
        self.shift = float(torch.rand(1))

    def predict(self, cloudy, noise, **more):
        return (super().predict(cloudy, noise) + self.shift).clamp(-1, 1)


class TrainsNothing(Good):
    """A loss without a gradient for its part."""

    def losses(self, cloudy, clear, name, valid=None):
        return dict(loss=(0 * self.gain(cloudy)).mean())


class NotFinite(Good):
    """A loss that is NaN."""

    def losses(self, cloudy, clear, name, valid=None):
        return dict(loss=super().losses(cloudy, clear, name)["loss"] * float("nan"))


@pytest.fixture
def registered():
    """Return a function that registers a model for one test."""
    names = []

    def register(kind):
        MODELS.register_module(module=kind)
        names.append(kind.__name__)
        return dict(type=kind.__name__)

    yield register
    for name in names:
        MODELS.module_dict.pop(name)


def test_a_minimal_model_passes(registered):
    check_model(registered(Good))


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (NoSuchEntry, "sampling_entries"),
        (NeedsAStranger, "needs"),
        (UsesNoise, "start noise"),
        (MixesBatch, "batch"),
        (Forgets, "state dict"),
        (TrainsNothing, "train gain"),
        (NotFinite, "finite"),
    ],
)
def test_a_fault_is_found(registered, kind, fault):
    with pytest.raises(AssertionError, match=fault):
        check_model(registered(kind))


def test_passes_that_give_another_result_are_found(registered):
    class OtherPasses(Good):
        """Passes that change the result."""

        def passes(self, **options):
            passes = super().passes(**options)
            first = passes[0]
            return [type(first)(**{**vars(first), "compute": lambda cloudy, noise: first.compute(cloudy, noise) / 2})]

    with pytest.raises(AssertionError, match="agree with predict"):
        check_model(registered(OtherPasses))
