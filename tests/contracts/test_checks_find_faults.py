"""A contract check that nothing can fail checks nothing: parts with one fault each."""

import numpy as np
import pytest
import torch
from torch import nn

from declouds import testing
from declouds.datamodules.simulated import Simulated
from declouds.noise_schedules.linear import LinearSchedule
from declouds.samplers.ddim import DDIM


class Denoiser(nn.Module):
    """A denoiser without a fault."""

    predicts = "noise"

    def __init__(self, bands=3, in_bands=None):
        super().__init__()
        self.conv = nn.Conv2d(bands + (in_bands or bands), bands, 3, padding=1)

    def forward(self, x_t, t, cloudy):
        return self.conv(torch.cat([x_t, cloudy], 1)).float()


class Reference(nn.Module):
    """A reference without a fault."""

    def __init__(self, bands=3):
        super().__init__()
        self.conv = nn.Conv2d(bands, bands, 3, padding=1)

    def forward(self, cloudy):
        return self.conv(cloudy).float().tanh()


def test_parts_without_a_fault_pass():
    testing.check_denoiser(dict(type=Denoiser))
    testing.check_reference(dict(type=Reference))


class NoDescription(Denoiser):
    __doc__ = None


class WrongPredicts(Denoiser):
    """Predicts what nobody knows."""

    predicts = "epsilon"


class EvenSizes(Denoiser):
    """Halves and doubles without padding."""

    def forward(self, x_t, t, cloudy):
        small = nn.functional.avg_pool2d(super().forward(x_t, t, cloudy), 2)
        return nn.functional.interpolate(small, scale_factor=2)


class ThreeBands(Denoiser):
    """Knows three bands alone."""

    def __init__(self, bands=3, in_bands=None):
        super().__init__(3, 3)


class ForgetsOtherBands(Denoiser):
    """Takes in_bands and does not use it."""

    def __init__(self, bands=3, in_bands=None):
        super().__init__(bands, bands)


class Doubles(Denoiser):
    """Gives float64."""

    def forward(self, x_t, t, cloudy):
        return super().forward(x_t, t, cloudy).double()


class Unused(Denoiser):
    """Has a layer that nothing depends on."""

    def __init__(self, bands=3, in_bands=None):
        super().__init__(bands, in_bands)
        self.spare = nn.Linear(2, 2)


class InfiniteGradient(Denoiser):
    """Takes the root of nothing."""

    def forward(self, x_t, t, cloudy):
        return (super().forward(x_t, t, cloudy) * 0).abs().sqrt()


class Detached(Denoiser):
    """Has gradients that are all zero."""

    def forward(self, x_t, t, cloudy):
        return super().forward(x_t, t, cloudy) * 0


class OnlyFloat32(Denoiser):
    """Overflows in mixed precision."""

    def forward(self, x_t, t, cloudy):
        output = super().forward(x_t, t, cloudy)
        return output * float("inf") if torch.is_autocast_enabled("cpu") else output


class Unsaved(Denoiser):
    """Holds a number that its state dict does not carry."""

    def __init__(self, bands=3, in_bands=None):
        super().__init__(bands, in_bands)
        self.shift = torch.randn(())

    def forward(self, x_t, t, cloudy):
        return super().forward(x_t, t, cloudy) + self.shift


class DropsInEval(Denoiser):
    """Draws at random in eval mode too."""

    def forward(self, x_t, t, cloudy):
        return nn.functional.dropout(super().forward(x_t, t, cloudy), training=True)


class BatchDeviation(Denoiser):
    """Normalises over the batch in training, which a single image does not allow."""

    def forward(self, x_t, t, cloudy):
        output = super().forward(x_t, t, cloudy)
        degrees_of_freedom = output.new_tensor(len(output) - 1)
        return output / degrees_of_freedom if self.training else output


class BatchMean(Denoiser):
    """Mixes the images of a batch."""

    def forward(self, x_t, t, cloudy):
        output = super().forward(x_t, t, cloudy)
        return output - output.mean()


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (NoDescription, "docstring of NoDescription"),
        (WrongPredicts, "predicts='epsilon'"),
        (EvenSizes, r"1 bands of 13x18 has shape \(2, 1, 12, 18\)"),
        (Doubles, "torch.float64, not float32"),
        (Unused, "spare.weight has no gradient"),
        (InfiniteGradient, "gradient of conv.weight must be finite"),
        (Detached, "all gradients .* are zero"),
        (OnlyFloat32, "finite in bfloat16"),
        (Unsaved, "saving and loading"),
        (BatchDeviation, "a batch of one image .* must be trainable"),
        (DropsInEval, "must be deterministic"),
        (BatchMean, "not depend on the other images"),
    ],
)
def test_faults_of_networks_are_named(part, fault):
    with pytest.raises(AssertionError, match=fault):
        testing.check_denoiser(dict(type=part))


@pytest.mark.parametrize("part", [ThreeBands, ForgetsOtherBands])
def test_networks_for_other_bands_than_they_are_told_fail(part):
    with pytest.raises(RuntimeError, match="channels"):
        testing.check_denoiser(dict(type=part))


def test_a_prior_outside_its_range_is_named():
    class Bright(Reference):
        """Leaves the range."""

        def forward(self, cloudy):
            return super().forward(cloudy) + 2

    with pytest.raises(AssertionError, match=r"prior must be in \[-1, 1\]"):
        testing.check_reference(dict(type=Bright))


class Outputs(Reference):
    """A reference without a fault that offers everything to its losses."""

    def maps(self, cloudy):
        restored = self.conv(cloudy).float()
        return dict(restorations=[restored], attention=restored[:, :1], latent=(restored.mean((2, 3)),) * 2)

    def training_outputs(self, cloudy, clear):
        return self.maps(cloudy)


class RoundedPrior(Reference):
    """Gives bfloat16 in mixed precision."""

    def forward(self, cloudy):
        return self.conv(cloudy).tanh()


class Changed(Outputs):
    """Offers what a change makes of it."""

    def __init__(self, change, bands=3):
        super().__init__(bands)
        self.change = change

    def training_outputs(self, cloudy, clear):
        return self.change(self.maps(cloudy))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda maps: dict(maps, attention=maps["attention"][..., 1:]), r"attention .*, not \(2, 1, 16, 15\)"),
        (lambda maps: dict(maps, attention=maps["attention"] / 0), "finite"),
        (lambda maps: dict(maps, attention=maps["attention"].bfloat16()), r"float32, not torch.bfloat16: add"),
        (lambda maps: dict(maps, latent=(maps["attention"],)), r"mean and log variance, \(B, length\) each"),
        (lambda maps: dict(maps, latent=(maps["latent"][0][:1],)), r"mean and log variance, \(B, length\) each"),
        (lambda maps: dict(maps, latent=(maps["latent"][0], maps["latent"][1].exp() / 0)), "finite"),
        (lambda maps: dict(maps, restorations=[maps["restorations"][0][:, :, 1:]]), "has shape"),
    ],
    ids=["map size", "map infinite", "map rounded", "code of maps", "code of one", "code infinite", "image size"],
)
def test_faults_of_what_losses_are_taken_of_are_named(change, fault):
    testing.check_reference(dict(type=Outputs))
    with pytest.raises(AssertionError, match=fault):
        testing.check_reference(dict(type=Changed, change=change))


def test_a_prior_that_is_rounded_in_mixed_precision_is_named():
    with pytest.raises(AssertionError, match=r"float32, not torch.bfloat16: add \.float\(\)"):
        testing.check_reference(dict(type=RoundedPrior))


class SwappedSchedule(LinearSchedule):
    """Runs backwards."""

    def __init__(self):
        super().__init__()
        self.alpha, self.sigma = self.alpha.flip(0), self.sigma.flip(0)


class LossySchedule(LinearSchedule):
    """Adds too much noise."""

    def add_noise(self, clear, noise, t, cloudy=None):
        return super().add_noise(clear, 1.01 * noise, t)


class GrowingSchedule(LinearSchedule):
    """Keeps no variance."""

    def __init__(self):
        super().__init__()
        self.alpha = self.alpha * 1.001


@pytest.mark.parametrize(
    ("part", "fault"),
    [(SwappedSchedule, "noisier"), (LossySchedule, "clear_from"), (GrowingSchedule, r"alpha\^2")],
)
def test_faults_of_noise_schedules_are_named(part, fault):
    with pytest.raises(AssertionError, match=fault):
        testing.check_noise_schedule(dict(type=part))


class NoNoise(DDIM):
    """Goes on without noise."""

    def __call__(self, denoise, process, noise):
        def quiet(x_t, t):
            return denoise(0.5 * x_t, t)

        return super().__call__(quiet, process, noise)


class OwnStart(DDIM):
    """Starts where it likes."""

    def __call__(self, denoise, process, noise):
        generator = torch.Generator().manual_seed(0)
        return super().__call__(denoise, process, torch.randn(noise.shape, generator=generator))


class GlobalNoise(DDIM):
    """Draws from the global generator."""

    def __call__(self, denoise, process, noise):
        return super().__call__(denoise, process, torch.randn_like(noise))


class Dimmed(DDIM):
    """Returns less than it was given."""

    def __call__(self, denoise, process, noise):
        return super().__call__(denoise, process, noise) * 0.99


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (NoNoise, "of the expected noise"),
        (OwnStart, "depend on the start noise"),
        (GlobalNoise, "the same result"),
        (Dimmed, "a perfect denoiser"),
    ],
)
def test_faults_of_samplers_are_named(part, fault):
    with pytest.raises(AssertionError, match=fault):
        testing.check_sampler(dict(type=part))


class RootOfNothing(nn.Module):
    """Has no gradient where output and target are equal."""

    def forward(self, output, target):
        return (output - target).square().sum().sqrt()


class PerImage(nn.Module):
    """Gives one number per image."""

    def forward(self, output, target):
        return (output - target).square().mean((1, 2, 3))


class Negative(nn.Module):
    """Falls with the deviation."""

    def forward(self, output, target):
        return -(output - target).square().mean()


class Saved(nn.Module):
    """Would land in checkpoints."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", torch.ones(1))

    def forward(self, output, target):
        return (output - target).square().mean()


class WrongWay(nn.Module):
    """Takes real for restored."""

    takes = "logits"

    def forward(self, output, target):
        return (output * (2 * target - 1)).mean()


class Overflows(nn.Module):
    """Takes the logarithm of what rounds to 0."""

    takes = "logits"

    def forward(self, output, target):
        return -torch.where(target > 0.5, output.sigmoid().log(), (1 - output.sigmoid()).log()).mean()


class SummedOverImages(nn.Module):
    """Grows with the batch."""

    takes = "latent"

    def forward(self, output, target):
        mean, log_variance = output
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()


class OfWhat(nn.Module):
    """Takes what no model gives."""

    takes = "masks"


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (RootOfNothing, "gradient must be finite"),
        (PerImage, "one number"),
        (Negative, "must grow"),
        (Saved, "not add to checkpoints"),
        (WrongWay, "fall with the logits at logits of 0.5 with target 1.0"),
        (Overflows, "gradient must be finite at logits of 20.0 with target 1.0"),
        (SummedOverImages, "not grow with the batch"),
        (OfWhat, "takes='masks' must be one of images, logits, latent"),
    ],
)
def test_faults_of_losses_are_named(part, fault):
    with pytest.raises(AssertionError, match=fault):
        testing.check_loss(dict(type=part))


class Faulty(Simulated):
    """Simulated pairs with a fault."""

    def __init__(self, change, **arguments):
        super().__init__(size=16, train=2, val=2, test=2, **arguments)
        self.change = change

    def setup(self, stage=None):
        super().setup(stage)
        for dataset in (self.train_dataset, self.val_dataset, self.test_dataset):
            if dataset is not None and not hasattr(dataset, "right"):
                dataset.right = dataset.load
                dataset.names, dataset.load = self.change(dataset)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda data: (("same", "same"), data.right), "names must be unique"),
        (lambda data: (data.names, lambda index: tuple(x if x is None else x[:, :8] for x in data.right(index))), None),
        (
            lambda data: (data.names, lambda index: (data.right(index)[0][:, :8], *data.right(index)[1:])),
            "same size",
        ),
        (
            lambda data: (data.names, lambda index: (*data.right(index)[:2], data.right(index)[2] * 0.5)),
            "must be 0 or 1",
        ),
    ],
    ids=["names", "none", "sizes", "mask"],
)
def test_faults_of_data_modules_are_named(change, fault):
    if fault is None:
        testing.check_datamodule(dict(type=Faulty, change=change))
        return
    with pytest.raises(AssertionError, match=fault):
        testing.check_datamodule(dict(type=Faulty, change=change))


class Detector:
    """A cloud detector without a fault: it looks one pixel to the left."""

    margin = 1

    def __call__(self, image):
        return np.roll(image[0] > 0.5, 1, axis=1)


class FalseMargin(Detector):
    """Looks farther than it says."""

    margin = 0


class StatisticsOfAll(Detector):
    """Compares with the mean of whatever it is shown."""

    def __call__(self, image):
        return image[0] > image.mean() + 0.3


class NoMargin(Detector):
    """Does not say how far it looks."""

    margin = None


class Probability(Detector):
    """Gives a number instead of a decision."""

    def __call__(self, image):
        return image[0]


class CloudOfEachBand(Detector):
    """Decides for each band."""

    def __call__(self, image):
        return image > 0.5


class ChangesTheImage(Detector):
    """Works in place."""

    def __call__(self, image):
        image += 0.01
        return image[0] > 0.5


class Forgetful(Detector):
    """Answers every second question otherwise."""

    calls = 0

    def __call__(self, image):
        self.calls += 1
        return (image[0] > 0.5) ^ (self.calls % 2 == 0)


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (FalseMargin, "farther away than margin=0"),
        (StatisticsOfAll, "farther away than margin=1"),
        (NoMargin, "margin must be .* 0 or more, got None"),
        (Probability, "is float32, not bool"),
        (CloudOfEachBand, r"for 1 bands of 16x16 has shape \(1, 16, 16\)"),
        (ChangesTheImage, "must not be modified"),
        (Forgetful, "give the same cloud mask"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_faults_of_cloud_detectors_are_named(part, fault):
    testing.check_cloud_detector(dict(type=Detector))
    with pytest.raises(AssertionError, match=fault):
        testing.check_cloud_detector(dict(type=part))
