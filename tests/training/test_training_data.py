"""The stream of patches: the same whatever the workers, processes and restarts."""

import pytest
import torch

from declouds.datamodules.downsample import downsample
from declouds.errors import UserError
from declouds.training.augmentation import BY_IMAGE, Augmentation
from declouds.training.training_data import EvaluationImages, StageBatches, TrainingPatches, train_loader


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


class Augmented:
    """The stream of augmented patches, addressed by position, or by a range of positions: a batch."""

    def __init__(self, dataset, crop=None, augmentations=(), seed=0):
        self.patches, self.augment = TrainingPatches(dataset, crop=crop, seed=seed), Augmentation(augmentations, seed)

    def batch(self, positions):
        batch = torch.utils.data.default_collate([self.patches[position] for position in positions])
        return self.augment(batch, batch.pop("position").tolist())

    def __getitem__(self, position):
        return {key: value[0] for key, value in self.batch([position]).items()}


AUGMENTATIONS = ("RandomHorizontalFlip", "RandomVerticalFlip", dict(type="RandomRotation90", times=(0, 3), p=1.0))


def test_pairs_stay_in_step_and_a_position_is_always_the_same_patch():
    patches = Augmented(Numbered(), crop=8, augmentations=AUGMENTATIONS, seed=1)
    again = Augmented(Numbered(), crop=8, augmentations=AUGMENTATIONS, seed=1)
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
    patches = Augmented(Numbered(), crop=8, augmentations=AUGMENTATIONS)
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


@pytest.mark.parametrize("cuda", [False, True])
def test_batches_are_pinned_for_a_gpu_and_read_ahead_by_workers(monkeypatch, cuda):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    patches, batches = TrainingPatches(Numbered(), crop=8), StageBatches(2, 10)
    alone, helped = (train_loader(patches, batches, workers) for workers in (0, 2))
    assert alone.pin_memory == helped.pin_memory == cuda
    assert alone.prefetch_factor is None and helped.prefetch_factor > 2


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
    plain, jittered = (Augmented(Ramps(), augmentations=[*others, *more])[3] for more in ([], [jitter]))
    for key in ("cloudy", "clear"):
        torch.testing.assert_close(jittered[key], plain[key], atol=1e-5, rtol=0)
        assert plain[key].min() < -0.9


def test_a_colour_jitter_changes_both_images_alike():
    jitter = dict(type="ColorJitter", brightness=(0.5, 0.5), p=1.0)
    patch = Augmented(Ramps(), augmentations=[jitter])[0]
    plain = TrainingPatches(Ramps())[0]
    for key in ("cloudy", "clear"):
        torch.testing.assert_close((patch[key] + 1) / 2, (plain[key] + 1) / 4, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["RandomGaussianNoise", "RandomGaussianBlur", "RandomJPEG"])
def test_what_degrades_the_clear_image_is_refused(name):
    with pytest.raises(UserError, match=f"{name} would degrade the clear image"):
        Augmentation([name])


NEEDED = dict(
    RandomRotation=dict(degrees=30.0),
    RandomRotation90=dict(times=(0, 3)),
    RandomAffine=dict(degrees=20.0, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=5.0),
    RandomShear=dict(shear=10.0),
    RandomTranslate=dict(translate_x=(-0.1, 0.1), translate_y=(-0.1, 0.1)),
    RandomCrop=dict(size=(6, 6), p=1.0),
    RandomResizedCrop=dict(size=(6, 6), p=1.0),
    RandomBrightness=dict(brightness=(0.5, 1.5)),
    RandomContrast=dict(contrast=(0.5, 1.5)),
    RandomGamma=dict(gamma=(0.5, 1.5)),
    RandomSaturation=dict(saturation=(0.5, 1.5)),
    RandomHue=dict(hue=(-0.3, 0.3)),
)
MIXED = [*AUGMENTATIONS, dict(type="ColorJitter", brightness=0.3, contrast=0.3, saturation=0.3, hue=0.2)]


@pytest.mark.parametrize(
    "augmentations",
    [*([dict(type=name, **{"p": 0.6, **NEEDED.get(name, {})})] for name in sorted(BY_IMAGE)), AUGMENTATIONS, MIXED],
)
def test_a_batch_is_augmented_as_its_images_one_by_one(augmentations):
    patches = Augmented(Coloured(), crop=8, augmentations=augmentations, seed=5)
    assert patches.augment.by_image == (augmentations is not MIXED)
    batch, singles = patches.batch(range(3, 11)), [patches[position] for position in range(3, 11)]
    for key in ("cloudy", "clear", "valid"):
        assert torch.equal(batch[key], torch.stack([single[key] for single in singles]))
    assert batch["name"] == [single["name"] for single in singles]
    plain = Augmented(Coloured(), crop=8, seed=5).batch(range(3, 11))
    assert batch["clear"].shape != plain["clear"].shape or not torch.equal(batch["clear"], plain["clear"])


def test_a_pixel_that_was_interpolated_from_a_gap_is_none():
    """The marker of the gaps, 1, is in none of the pixels that count; nor is the black that a rotation brings in."""
    patches = Augmented(WithGaps(), augmentations=[dict(type="RandomRotation", degrees=45.0, p=1.0)])
    batch, plain = patches.batch(range(5)), Augmented(WithGaps()).batch(range(5))
    assert 0.3 < batch["valid"].float().mean() < plain["valid"].float().mean()
    assert batch["cloudy"][batch["valid"]].max() <= plain["cloudy"][plain["valid"]].max() + 1e-2


class Coloured(torch.utils.data.Dataset):
    """Images of three bands with gaps, of their own colours."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        cloudy, clear, gaps = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(index))
        return dict(cloudy=cloudy * 2 - 1, clear=clear * 2 - 1, valid=gaps[:1] > 0.2, name=str(index))


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
    patches = Augmented(WithGaps(), crop=8, augmentations=augmentations, seed=3)
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
