"""The contract of cloud detectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from declouds.registry import CLOUD_DETECTORS
from declouds.testing.parts import check_description, random_images, require

SENTINEL_2 = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12".split()
BAND_NAMES = (("pan",), ("red", "green", "blue"), ("red", "green", "blue", "nir"), SENTINEL_2)
SIZES = ((16, 16), (13, 18), (1, 1), (1, 70), (64, 96))


def check_cloud_detector(
    config: dict, band_names: Sequence[Sequence[str]] = BAND_NAMES, sizes: Sequence[tuple[int, int]] = SIZES
) -> None:
    """Check ``image -> cloud`` for images with these bands and sizes, and that ``margin`` is correct.

    Images are random, smooth, all black and all white.
    """
    check_description(CLOUD_DETECTORS, config)
    for names in band_names:
        detector = CLOUD_DETECTORS.build(config, band_names=names)
        margin = detector.margin
        require(
            isinstance(margin, int) and margin >= 0, f"margin must be a number of pixels, 0 or more, got {margin!r}"
        )
        for size in sizes:
            rough = random_images(1, 1, len(names), size)[0].numpy()
            smooth = np.linspace(-1, 1, rough.size, dtype=np.float32).reshape(rough.shape)
            for image in (rough, smooth, np.full_like(rough, -1), np.full_like(rough, 1)):
                _check_answer(detector, image, f"for {len(names)} bands of {size[0]}x{size[1]}")
            _check_margin(detector, rough)


def _check_answer(detector: Any, image: np.ndarray, where: str) -> None:
    """Check that the mask has the right shape and type and is reproducible, and that the image is not modified."""
    before = image.copy()
    cloud = detector(image)
    require(cloud.shape == image.shape[1:], f"the cloud mask {where} has shape {cloud.shape}")
    require(cloud.dtype == bool, f"the cloud mask {where} is {cloud.dtype}, not bool")
    require(np.array_equal(image, before), f"the image {where} must not be modified")
    require(np.array_equal(detector(image), cloud), f"the same image {where} must give the same cloud mask")


def _check_margin(detector: Any, image: np.ndarray) -> None:
    """Check that a crop of the image, with the margin around it, gets the same mask as in the whole image."""
    height, width = image.shape[1:]
    top, bottom, left, right = height // 3, height // 3 + 1 + height // 6, width // 3, width // 3 + 1 + width // 6
    above, before = max(top - detector.margin, 0), max(left - detector.margin, 0)
    part = detector(image[:, above : bottom + detector.margin, before : right + detector.margin])
    same = np.array_equal(
        part[top - above : bottom - above, left - before : right - before], detector(image)[top:bottom, left:right]
    )
    require(same, f"a pixel's result must not depend on pixels farther away than margin={detector.margin}")
