"""The stream of patches: the same whatever the workers, processes and restarts."""

import pytest
import torch

from declouds.datamodules.downsample import downsample
from declouds.errors import UserError
from declouds.training.training_data import EvaluationImages, StageBatches, TrainingPatches


class Numbered(torch.utils.data.Dataset):
    """Image i is a ramp plus i; clear is cloudy negated, so that a pair out of step shows."""

    def __init__(self, count=5, size=16):
        self.count, self.size = count, size

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        ramp = torch.arange(self.size**2, dtype=torch.float32).reshape(1, self.size, self.size) / (2 * self.size**2)
        cloudy = ramp + index / (2 * self.count)
        return dict(cloudy=cloudy, clear=-cloudy, name=str(index))


AUGMENTATIONS = ("RandomHorizontalFlip", "RandomVerticalFlip", dict(type="RandomRotation90", times=(0, 3), p=1.0))


def test_pairs_stay_in_step_and_a_position_is_always_the_same_patch():
    patches = TrainingPatches(Numbered(), crop=8, augmentations=AUGMENTATIONS, seed=1)
    again = TrainingPatches(Numbered(), crop=8, augmentations=AUGMENTATIONS, seed=1)
    seen = set()
    for position in range(20):
        sample = patches[position]
        assert torch.equal(sample["clear"], -sample["cloudy"])
        assert torch.equal(sample["cloudy"], again[position]["cloudy"])
        seen.add(tuple(sample["cloudy"].flatten().tolist()))
    assert len(seen) == 20
    assert not torch.equal(TrainingPatches(Numbered(), crop=8, seed=2)[0]["cloudy"], patches[0]["cloudy"])


def test_an_epoch_holds_every_image_once():
    patches = TrainingPatches(Numbered())
    for epoch in range(3):
        assert sorted(patches.index_of(5 * epoch + place) for place in range(5)) == list(range(5))
    orders = {tuple(patches.index_of(5 * epoch + place) for place in range(5)) for epoch in range(6)}
    assert len(orders) > 1


def test_a_patch_leaves_the_global_random_state_alone():
    patches = TrainingPatches(Numbered(), crop=8, augmentations=AUGMENTATIONS)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    patches[3]
    assert torch.equal(torch.rand(1), expected)


def test_processes_share_each_batch_and_a_restart_skips_to_its_place():
    def first(batches, count):
        iterator = iter(batches)
        return [next(iterator) for _ in range(count)]

    alone = first(StageBatches(6, 10), 4)
    shares = [first(StageBatches(6, 10, rank, 3), 4) for rank in range(3)]
    assert [[*one, *two, *three] for one, two, three in zip(*shares, strict=True)] == alone
    restarted = StageBatches(6, 10)
    restarted.start = 2
    assert first(restarted, 2) == alone[2:]
    with pytest.raises(UserError, match="batch_size=5 is not a multiple of 2 processes"):
        StageBatches(5, 10, 0, 2)


def test_reduction_is_never_a_silent_crop():
    assert downsample(torch.zeros(3, 16, 24), 4).shape == (3, 4, 6)
    with pytest.raises(UserError, match="16x24 image cannot be downsampled by 5"):
        downsample(torch.zeros(3, 16, 24), 5)


def test_the_noise_of_an_image_depends_on_its_name_and_the_seed_alone():
    images = EvaluationImages(Numbered(), bands=1, seed=4, limit=3)
    assert len(images) == 3
    assert torch.equal(images[1]["noise"], EvaluationImages(Numbered(), bands=1, seed=4)[1]["noise"])
    assert not torch.equal(images[1]["noise"], images[2]["noise"])
    assert not torch.equal(images[1]["noise"], EvaluationImages(Numbered(), bands=1, seed=5)[1]["noise"])


def test_an_empty_training_split_is_named():
    with pytest.raises(UserError, match="the training split is empty"):
        TrainingPatches(Numbered(count=0))


class OfManySizes(Numbered):
    names = ("a", "b", "c", "d", "e")
    sizes = ((12, 16),) * 4 + ((12, 6),)


def test_a_patch_that_one_image_is_too_small_for_is_refused_before_any_is_read():
    with pytest.raises(UserError, match="e: 12x6 pixels after downsampling by 1 is smaller than the patch of 8"):
        TrainingPatches(OfManySizes(), crop=8)
    with pytest.raises(UserError, match="12x6 image cannot be downsampled by 4"):
        TrainingPatches(OfManySizes(), reduce=4)


@pytest.mark.parametrize("others", [[], ["RandomHorizontalFlip"]])
def test_a_colour_jitter_of_nothing_changes_nothing(others):
    """kornia's colour augmentations clamp to [0, 1]; patches lie in [-1, 1]."""
    jitter = dict(type="ColorJitter", brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, p=1.0)
    plain, jittered = (TrainingPatches(Ramps(), augmentations=[*others, *more])[3] for more in ([], [jitter]))
    for key in ("cloudy", "clear"):
        torch.testing.assert_close(jittered[key], plain[key], atol=1e-5, rtol=0)
        assert plain[key].min() < -0.9


def test_a_colour_jitter_changes_both_images_alike():
    jitter = dict(type="ColorJitter", brightness=(0.5, 0.5), p=1.0)
    patch = TrainingPatches(Ramps(), augmentations=[jitter])[0]
    plain = TrainingPatches(Ramps())[0]
    for key in ("cloudy", "clear"):
        torch.testing.assert_close((patch[key] + 1) / 2, (plain[key] + 1) / 4, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["RandomGaussianNoise", "RandomGaussianBlur", "RandomJPEG"])
def test_what_degrades_the_clear_image_is_refused(name):
    with pytest.raises(UserError, match=f"{name} would degrade the clear image"):
        TrainingPatches(Ramps(), augmentations=[name])


class Ramps(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        clear = torch.linspace(-1, 0.9, 3 * 16 * 16).reshape(3, 16, 16)
        return dict(cloudy=clear.flip(-1), clear=clear, name=str(index))


class WithGaps(Numbered):
    """The same images; pixels without data are those of the right quarter, marked by 1 in both images."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        valid = torch.ones(1, self.size, self.size, dtype=torch.bool)
        valid[..., 3 * self.size // 4 :] = False
        images = {key: torch.where(valid, sample[key] * 0.5, 1.0) for key in ("cloudy", "clear")}
        return dict(sample, **images, valid=valid)


SAME_COLOURS = (dict(type="RandomBrightness", brightness=(1.0, 1.0), p=1.0), "RandomHorizontalFlip")


@pytest.mark.parametrize("augmentations", [(), AUGMENTATIONS, SAME_COLOURS])
def test_gaps_are_cropped_and_turned_with_their_images(augmentations):
    patches = TrainingPatches(WithGaps(), crop=8, augmentations=augmentations, seed=3)
    seen = set()
    for position in range(20):
        sample = patches[position]
        assert sample["valid"].dtype == torch.bool and sample["valid"].shape == (1, 8, 8)
        assert torch.equal(sample["valid"], sample["cloudy"] < 0.99)
        assert torch.equal(sample["valid"], sample["clear"] < 0.99)
        seen.add(tuple(sample["valid"].flatten().tolist()))
    assert len(seen) > 2


def test_a_reduced_pixel_has_data_where_all_of_its_pixels_had():
    patches = TrainingPatches(WithGaps(size=24), reduce=4)
    valid = patches[0]["valid"]
    assert valid.shape == (1, 6, 6) and valid[..., :4].all() and not valid[..., 4:].any()


def test_evaluation_keeps_the_gaps():
    assert EvaluationImages(WithGaps(), bands=1)[0]["valid"].sum() == 16 * 12
