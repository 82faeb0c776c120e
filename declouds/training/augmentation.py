"""Augmentation of whole batches, on the device that trains.

The random parameters of an image depend on the seed and its position in the stream of samples alone, not on the batch:
resumed and distributed runs, and those with workers, augment as an uninterrupted run in a single process does.
"""

from collections.abc import Sequence
from typing import Any

import torch

from declouds.errors import UserError
from declouds.training.training_data import stream_seed

# kornia's augmentations that do the same to a batch as to its images one by one: all their parameters are by image.
# The order of the steps of ColorJitter, for example, is one for the whole batch.
BY_IMAGE = frozenset(
    f"Random{name}"
    for name in (
        "HorizontalFlip", "VerticalFlip", "Rotation90", "Rotation", "Affine", "Shear", "Translate", "Perspective",
        "ResizedCrop", "Crop", "Erasing", "Brightness", "Contrast", "Gamma", "Saturation", "Hue", "Grayscale",
    )
)  # fmt: skip
SHAPE = "forward_input_shape"  # kornia's parameter of the shape of the whole batch


class Augmentation:
    """Augments the images of a pair identically, a batch at a time.

    Args:
        augmentations: names (or dicts with ``type``) of kornia augmentations.
        seed: seed of the run.
        stage: number of the stage, part of the seed.

    Raises:
        UserError: an unknown augmentation, or one that degrades the clear image.
    """

    def __init__(self, augmentations: Sequence[Any] = (), seed: int = 0, stage: int = 0) -> None:
        self.seed, self.stage = seed, stage
        self.sequence = _kornia_sequence(augmentations)
        parts = [] if self.sequence is None else list(self.sequence.children())
        self.by_image = BY_IMAGE.issuperset(type(part).__name__ for part in parts)
        self.changes_colour = _changes_colour(parts)

    def __call__(self, batch: dict[str, Any], positions: Sequence[int]) -> dict[str, Any]:
        """Return the batch with ``cloudy``, ``clear`` and, if present, ``valid`` augmented.

        Further sources in ``cloudy``, after the bands of ``clear``, are moved with the image and keep their values.

        Args:
            batch: a batch of patches.
            positions: the positions of its images in the stream.

        Shapes: cloudy (B, in_bands, H, W), clear (B, bands, H, W), valid (B, 1, H, W) bool.
        Units: images in [-1, 1].
        """
        if self.sequence is None:
            return batch
        bands = batch["clear"].shape[1]
        images = {"cloudy": batch["cloudy"][:, :bands].float(), "clear": batch["clear"].float()}
        if batch["cloudy"].shape[1] > bands:
            images["sources"] = batch["cloudy"][:, bands:].float()
        if "valid" in batch:
            images["valid"] = batch["valid"].float()
        if self.changes_colour:  # colour augmentations expect [0, 1] and clip values below 0
            images |= {key: (images[key] + 1) / 2 for key in ("cloudy", "clear")}
        images = self._apply(images, self._draw(images["cloudy"].shape[1:], positions))
        if self.changes_colour:
            images |= {key: images[key].clamp(0, 1) * 2 - 1 for key in ("cloudy", "clear")}
        if "valid" in images:
            images["valid"] = images["valid"] > 1 - 1e-3  # False where interpolation involved nodata pixels
        if "sources" in images:
            images["cloudy"] = torch.cat([images["cloudy"], images.pop("sources")], 1)
        return batch | images

    def _draw(self, shape: Sequence[int], positions: Sequence[int]) -> list[list[Any]]:
        """Return kornia's parameters for each image, of ``shape`` (C, H, W); drawn on the CPU for every device."""
        drawn = []
        with torch.random.fork_rng(devices=[]):
            for position in positions:
                torch.default_generator.manual_seed(stream_seed(self.seed, self.stage, "augmentation", position))
                drawn.append(self.sequence.forward_parameters(torch.Size((1, *shape))))
        return drawn

    def _apply(self, images: dict[str, torch.Tensor], drawn: list[list[Any]]) -> dict[str, torch.Tensor]:
        """Augment all images at once, or one by one where kornia would do something else to a batch."""
        if len(drawn) > 1 and not self.by_image:
            single = [
                self._apply({key: image[[index]] for key, image in images.items()}, [parameters])
                for index, parameters in enumerate(drawn)
            ]
            return {key: torch.cat([one[key] for one in single]) for key in images}
        keys = ["input" if key in ("cloudy", "clear") else "mask" for key in images]  # colours of masks stay
        changed = self.sequence(*images.values(), data_keys=keys, params=_joined(drawn))
        return {key: image.contiguous() for key, image in zip(images, changed, strict=True)}


def _joined(drawn: list[list[Any]]) -> list[Any]:
    """Join kornia's parameters of single images to those of a batch."""
    if len(drawn) == 1:
        return drawn[0]
    joined = []
    for items in zip(*drawn, strict=True):
        data = {key: torch.cat([item.data[key] for item in items]) for key in items[0].data if key != SHAPE}
        data[SHAPE] = items[0].data[SHAPE].clone()
        data[SHAPE][0] = len(drawn)
        joined.append(items[0]._replace(data=data))
    return joined


def _kornia_sequence(augmentations: Sequence[Any]) -> Any:
    """Build kornia augmentations that treat both images of a pair identically (as two inputs)."""
    if not augmentations:
        return None
    import kornia.augmentation as K
    from kornia.constants import DataKey, Resample

    built = []
    for entry in augmentations:
        arguments = dict(type=entry) if isinstance(entry, str) else dict(entry)
        name = arguments.pop("type")
        if not hasattr(K, name):
            raise UserError(f"kornia.augmentation has no {name!r}: see kornia's documentation for valid names")
        if any(word in name for word in ("Noise", "Blur", "JPEG")):
            raise UserError(f"{name} would degrade the clear image, the training target: remove it")
        built.append(getattr(K, name)(**arguments))
    interpolated = {DataKey.MASK: {"resample": Resample.BILINEAR, "align_corners": None}}
    return K.AugmentationSequential(*built, data_keys=["input", "input"], extra_args=interpolated)


def _changes_colour(parts: Sequence[Any]) -> bool:
    import kornia.augmentation as K

    return any(isinstance(part, K.IntensityAugmentationBase2D) for part in parts)
